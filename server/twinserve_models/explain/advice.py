"""What to do about the layers: sentences from findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twinserve_host.sizes import kilobytes
from twinserve_models.explain.findings import LayerFinding, SweepRow

#: A layer that costs less accuracy than this is not worth an exception.
WORTH_POINTS: Final = 0.1
#: Nor is a layer that costs fewer answers than this: they may be chance.
WORTH_ANSWERS: Final = 3
#: Above this share of saturated values, a range is too narrow; below this many levels, it is too wide.
SATURATED: Final = 0.01
FEW_LEVELS: Final = 32
#: Well calibrated, 8 bits give some 35 dB; with less than this a layer is broken, whatever its accuracy.
POOR_DB: Final = 15.0


def advise(layers: Sequence[LayerFinding], sweep: Sequence[SweepRow], images: int) -> list[str]:
    """What the findings on so many images ask for, the worst first."""
    said = []
    worth = max(WORTH_POINTS, 100 * WORTH_ANSWERS / images)
    for layer in sorted((layer for layer in layers if layer.in_integers), key=lambda layer: -_harm(layer)):
        reasons = _reasons(layer)
        costs_accuracy = max(layer.lost_points or 0, layer.regained_points or 0) >= worth
        if not costs_accuracy and not (layer.alone_db is not None and layer.alone_db < POOR_DB):
            continue
        said.append(
            f"{layer.name}: {'; '.join(reasons)}. {_remedy(layer)} Kept in FP32 it takes "
            f"{kilobytes(layer.float_bytes)} KB more{_time(layer)}."
        )
    kernels = {layer.float_kernel for layer in layers}
    said += [
        f"{layer.name}: in 8 bits in the file, but {layer.integer_kernel} computed it in floats."
        for layer in layers
        if layer.in_integers and layer.integer_kernel in kernels
    ]
    if floats := [layer.name for layer in layers if not layer.in_integers]:
        said.append(f"Already in floats in the quantised variant: {', '.join(floats)}.")
    if not said:
        said.append(f"No layer is worth keeping in FP32: none costs {worth:.2g} points of accuracy by itself.")
    if len(sweep) > 1:
        best = max(sweep, key=lambda row: (row.agreement, row.scores_db))
        said.append(
            f"Best calibration: {best.calibrator} on {best.images:,} images, {best.agreement:.2f} % of the "
            "answers as in FP32."
        )
    return said


def _harm(layer: LayerFinding) -> float:
    return (layer.lost_points or 0) * 1e3 + layer.changed - (layer.alone_db or 0) * 1e-3


def _reasons(layer: LayerFinding) -> list[str]:
    assert layer.alone_db is not None
    found = [f"{layer.alone_db:.0f} dB signal to noise by itself"]
    if layer.lost_points is not None:
        found.append(
            f"{layer.lost_points:.2f} points lost with only this layer in 8 bits, {layer.regained_points:.2f} regained "
            "with only it in floats"
        )
    return found


def _remedy(layer: LayerFinding) -> str:
    if layer.kept and layer.saturated is not None and layer.saturated > SATURATED:
        return (
            f"Its scale is too small: it holds {layer.kept[0]:.3g} to {layer.kept[1]:.3g}, but values reach "
            f"{layer.seen[0]:.3g} to {layer.seen[1]:.3g}, and {layer.saturated:.1%} of them saturate. Calibrate again."
        )
    if layer.kept and layer.levels is not None and layer.levels < FEW_LEVELS:
        return (
            f"Its scale is too large: only {layer.levels} of 256 levels lie within {layer.seen[0]:.3g} to "
            f"{layer.seen[1]:.3g}. Calibrate again."
        )
    if layer.weights_db is not None and layer.weights_db < POOR_DB + 5:
        return f"Its weights lose most ({layer.weights_db:.0f} dB): quantise them per channel."
    return "Its ranges fit: more calibration images will not help."


def _time(layer: LayerFinding) -> str:
    if layer.float_us is None or layer.integer_us is None:
        return ""
    return f" and {layer.float_us - layer.integer_us:,.0f} µs per batch"
