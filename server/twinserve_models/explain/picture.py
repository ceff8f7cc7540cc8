"""An explanation as a picture: noise and price of each layer, and the sweep."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twinserve_host.files import write_file
from twinserve_models.explain.calibrate import CALIBRATORS
from twinserve_models.explain.findings import Explanation
from twinserve_models.listing import dataset_line

#: Distinguishable for colour-blind readers (Okabe & Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73")
mpl.rcParams["svg.hashsalt"] = "twinserve"


def draw(found: Explanation, path: Path) -> None:
    """Write the picture; the suffix (.svg, .png, .pdf) picks the format.

    Raises:
        FileError: it cannot be written.
    """
    height = 2.4 + 0.55 * len(found.layers)
    panels = 3 if found.sweep else 2
    figure = Figure(figsize=(4.4 * panels, max(3.6, height)), layout="constrained")
    axes = figure.subplots(1, panels)
    _noise(axes[0], found)
    _price(axes[1], found)
    if found.sweep:
        _sweep(axes[2], found)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{found.model}: {found.float_variant} beside {found.integer_variant}, {found.images:,} images")
    figure.supxlabel(dataset_line(found.dataset), fontsize=8, color="#555555")
    kind, drawn = path.suffix.lstrip(".").lower(), BytesIO()
    figure.savefig(drawn, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    write_file(path, drawn.getvalue())


def _noise(axes: Axes, found: Explanation) -> None:
    places = range(len(found.layers))
    series = {
        "weights": [layer.weights_db or 0 for layer in found.layers],
        "output, layer alone": [layer.alone_db or 0 for layer in found.layers],
        "output, as served": [layer.served_db for layer in found.layers],
    }
    for turn, ((label, values), colour) in enumerate(zip(series.items(), COLOURS, strict=True)):
        axes.barh([place + (turn - 1) * 0.27 for place in places], values, 0.25, label=label, color=colour)
    _name(axes, found)
    axes.set_xlabel("signal to noise, dB (more is better)")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1, frameon=False)


def _price(axes: Axes, found: Explanation) -> None:
    labelled = found.float_accuracy is not None
    values = [float(layer.lost_points or 0) if labelled else float(layer.changed) for layer in found.layers]
    bars = axes.barh(range(len(values)), values, 0.5, color=COLOURS[1])
    texts = [
        (f"{value:+.2f}" if labelled else f"{value:.0f}")
        + (f", {layer.saturated:.1%} saturate" if layer.saturated and layer.saturated >= 0.001 else "")
        for value, layer in zip(values, found.layers, strict=True)
    ]
    axes.bar_label(bars, labels=texts, padding=3, fontsize=8)
    # At least a tenth of a percentage point: less is a single answer.
    axes.set_xlim(min(0, *values) * 1.2, max(0.1 if labelled else 1, *values) * 1.7)
    axes.axvline(0, color="#555555", linewidth=0.8)
    _name(axes, found)
    axes.set_xlabel(
        "accuracy lost, layer alone in 8 bits, points" if labelled else "answers changed, layer alone in 8 bits"
    )


def _sweep(axes: Axes, found: Explanation) -> None:
    for calibrator, colour, mark in zip(CALIBRATORS, COLOURS, "os^", strict=True):
        rows = [row for row in found.sweep if row.calibrator == calibrator]
        axes.plot(
            [row.images for row in rows], [row.scores_db for row in rows], f"{mark}-", color=colour, label=calibrator
        )
    axes.set_xscale("log", base=2)
    images = sorted({row.images for row in found.sweep})
    axes.set_xticks(images, [f"{count:,}" for count in images])
    axes.set_xlabel("calibration images")
    axes.set_ylabel("scores: signal to noise, dB")
    axes.legend(fontsize=8, frameon=False)


def _name(axes: Axes, found: Explanation) -> None:
    axes.set_yticks(range(len(found.layers)), [layer.name for layer in found.layers])
    axes.invert_yaxis()
