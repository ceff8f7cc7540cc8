"""Ranges of activations found anew, by the calibrators of ONNX Runtime, for the sweep."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

from twinserve_models.explain.twins import Array, Grid, Quantisation, Seen, Twins

#: The percentile calibrator leaves out this many per cent of the values, at both ends together.
PERCENTILE: Final = 99.99
CALIBRATORS: Final = ("min-max", "percentile", "entropy")
#: The bins of a histogram, and those that the entropy calibrator reduces them to.
BINS: Final = {"percentile": 2048, "entropy": 128}
#: Of each tensor of a batch, so many values at most make the histogram; minimum and maximum are always among them.
SAMPLE: Final = 200_000


@dataclass(frozen=True, slots=True)
class Ranges:
    """By calibrator, the grids of what enters and leaves each layer."""

    inputs: dict[str, list[Grid]]
    outputs: dict[str, list[Grid]]

    def quantisations(self, twins: Twins, calibrator: str) -> dict[int, Quantisation]:
        """How the layers that are in 8 bits would be, with these ranges and the weights that they have."""
        return {
            place: Quantisation(
                how.weights,
                None if how.input is None else self.inputs[calibrator][place],
                None if how.output is None else self.outputs[calibrator][place],
                how.dynamic,
            )
            for place, layer in enumerate(twins.layers)
            if (how := layer.quantisation) is not None
        }


def calibrate(batches: Iterable[list[Seen]], layers: int) -> Ranges:
    """Find the ranges from what the layers of the float artefact did to the calibration images."""
    names = [f"{what} {place}" for what in ("input", "output") for place in range(layers)]
    collectors = {method: _collector(method) for method in BINS}
    ends: dict[str, tuple[float, float]] = {}
    for seen in batches:
        arrays = [one.input for one in seen] + [one.output for one in seen]
        values = {name: _sample(array) for name, array in zip(names, arrays, strict=True)}
        for name, array in values.items():
            least, greatest = ends.get(name, (0.0, 0.0))
            ends[name] = min(least, float(array.min())), max(greatest, float(array.max()))
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
            for collector in collectors.values():
                collector.collect(dict(values))
    found = {"min-max": ends}
    with contextlib.redirect_stdout(io.StringIO()):
        for method, collector in collectors.items():
            limits: dict[str, Any] = collector.compute_collection_result()
            found[method] = {name: (float(limit[0]), float(limit[1])) for name, limit in limits.items()}
    grids = {method: [Grid.over(*ranges[name]) for name in names] for method, ranges in found.items()}
    return Ranges(
        {method: grid[:layers] for method, grid in grids.items()},
        {method: grid[layers:] for method, grid in grids.items()},
    )


def _collector(method: str) -> Any:
    return HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=BINS[method],
        num_quantized_bins=128,
        percentile=PERCENTILE,
        scenario="same",
    )


def _sample(array: Array) -> Array:
    """Evenly spaced values of ``array``, with its extremes."""
    flat = array.reshape(-1)
    if flat.size <= SAMPLE:
        return flat
    step = -(-flat.size // SAMPLE)
    return np.concatenate([flat[::step], [flat.min(), flat.max()]]).astype(np.float32)
