"""Asks a pair of artefacts, over the test images, what each layer does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_models.explain.calibrate import CALIBRATORS, calibrate
from twinserve_models.explain.findings import LayerFinding, SweepRow
from twinserve_models.explain.twins import Array, Kernel, Layer, Quantisation, Seen, Twins

BATCH: Final = 128
#: Reported if nothing differs: no quantisation loses less than the 24 bits of a float.
MOST_DB: Final = 144.0

Images = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Sums:
    """Of one layer, over all batches."""

    signal: float = 0.0
    alone: float = 0.0
    served: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    outside: int = 0
    values: int = 0

    def add(self, seen: Seen, layer: Layer) -> None:
        output = seen.output.astype(np.float64)
        self.signal += float(np.square(output).sum())
        self.served += float(np.square(output - seen.served).sum())
        if seen.alone is not None:
            self.alone += float(np.square(output - seen.alone).sum())
        self.least = min(self.least, float(output.min()))
        self.greatest = max(self.greatest, float(output.max()))
        if layer.quantisation and layer.quantisation.output:
            low, high = layer.quantisation.output.range
            half = layer.quantisation.output.scale / 2  # what rounds to the last level is held
            self.outside += int(((output < low - half) | (output > high + half)).sum())
        self.values += output.size


@dataclass(frozen=True, slots=True)
class Scores:
    """The float artefact's and the integer artefact's answers to the images."""

    floats: Array
    integers: Array


def answer(twins: Twins, images: Images) -> Scores:
    """Both artefacts' answers."""
    return Scores(
        np.concatenate([twins.simulate(batch, {}) for batch in _batches(images)]),
        np.concatenate([twins.served(batch) for batch in _batches(images)]),
    )


def look_at_layers(
    twins: Twins, images: Images, labels: Labels | None, scores: Scores, on_step: Callable[[str], None]
) -> list[LayerFinding]:
    """Every layer's noise, range and price, and what executed it; ``on_step`` is told once a layer."""
    sums = [_Sums() for _ in twins.layers]
    for batch in _batches(images):
        for total, seen, layer in zip(sums, twins.observe(batch), twins.layers, strict=True):
            total.add(seen, layer)
    kernels = twins.kernels(images[:BATCH])
    every = {place: layer.quantisation for place, layer in enumerate(twins.layers) if layer.quantisation}
    all_in_8_bits = _simulate(twins, images, every)
    found = []
    for place, layer in enumerate(twins.layers):
        on_step(layer.name)
        alone = rest = None
        if place in every:
            alone = _simulate(twins, images, {place: every[place]})
            rest = _simulate(twins, images, {other: how for other, how in every.items() if other != place})
        found.append(_finding(layer, sums[place], kernels[place], labels, scores.floats, alone, all_in_8_bits, rest))
    return found


def sweep(
    twins: Twins,
    calibration: Images,
    images: Images,
    labels: Labels | None,
    floats: Array,
    on_step: Callable[[str], None],
) -> list[SweepRow]:
    """Each calibrator on 16, 64, 256 ... of the calibration images, evaluated on ``images``, which are others."""
    rows = []
    for count in counts(len(calibration)):
        ranges = calibrate((twins.observe(batch) for batch in _batches(calibration[:count])), len(twins.layers))
        for calibrator in CALIBRATORS:
            on_step(f"{calibrator} on {count} images")
            scores = _simulate(twins, images, ranges.quantisations(twins, calibrator))
            rows.append(
                SweepRow(
                    calibrator,
                    count,
                    accuracy(scores, labels),
                    agreement(scores, floats),
                    ratio(floats, floats - scores),
                )
            )
    return rows


def counts(available: int) -> list[int]:
    """How many images the sweep calibrates on: powers of four from 16, and all of them."""
    steps = [count for count in (16, 64, 256, 1024) if count < available]
    return [*steps, min(available, 2048)]


def accuracy(scores: Array, labels: Labels | None) -> float | None:
    """Per cent; None: there are no labels."""
    return None if labels is None else 100 * float((scores.argmax(1) == labels).mean())


def agreement(scores: Array, others: Array) -> float:
    """Per cent of the same answers."""
    return 100 * float((scores.argmax(1) == others.argmax(1)).mean())


def ratio(signal: Array, noise: Array) -> float:
    """Signal to noise, in dB."""
    return _decibel(float(np.square(signal, dtype=np.float64).sum()), float(np.square(noise, dtype=np.float64).sum()))


def _finding(
    layer: Layer,
    sums: _Sums,
    kernels: tuple[Kernel, Kernel],
    labels: Labels | None,
    floats: Array,
    alone: Array | None,
    every: Array,
    rest: Array | None,
) -> LayerFinding:
    how = layer.quantisation
    grid = how.output if how else None
    lost = regained = None
    if labels is not None and alone is not None and rest is not None:
        right = [int((scores.argmax(1) == labels).sum()) for scores in (floats, alone, every, rest)]
        lost = 100 * (right[0] - right[1]) / len(labels)
        regained = 100 * (right[3] - right[2]) / len(labels)
    return LayerFinding(
        name=layer.name,
        shape=list(layer.weights.shape),
        float_kernel=kernels[0].name,
        integer_kernel=kernels[1].name,
        float_us=kernels[0].us,
        integer_us=kernels[1].us,
        weights_db=None if how is None else ratio(layer.weights, layer.weights - how.weights),
        alone_db=None if how is None else _decibel(sums.signal, sums.alone),
        served_db=_decibel(sums.signal, sums.served),
        seen=(sums.least, sums.greatest),
        kept=None if grid is None else grid.range,
        saturated=None if grid is None else sums.outside / sums.values,
        levels=None if grid is None else min(256, 1 + int((sums.greatest - sums.least) / grid.scale)),
        lost_points=lost,
        regained_points=regained,
        changed=0 if alone is None else int((alone.argmax(1) != floats.argmax(1)).sum()),
        float_bytes=0 if how is None else 3 * layer.weights.size,
    )


def _decibel(signal: float, noise: float) -> float:
    if noise == 0 or signal == 0:
        return MOST_DB
    return min(MOST_DB, 10 * math.log10(signal / noise))


def _simulate(twins: Twins, images: Images, quantised: Mapping[int, Quantisation]) -> Array:
    return np.concatenate([twins.simulate(batch, quantised) for batch in _batches(images)])


def _batches(images: Images) -> Iterator[Images]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))
