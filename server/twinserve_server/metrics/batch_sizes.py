"""Forward passes by exact batch size, as reported by ``ModelStatistics``.

They are stored in the slabs but are not a metric family: a histogram's buckets are too coarse, and a series for every
size would be more than a scrape should carry.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from twinserve_server.metrics.slab import Slab

_SIZES: Final = "batch_sizes"
_LAST: Final = "last_batch"
_MODEL_LABELS: Final = 3


@dataclass(slots=True)
class SizeTotals:
    """All forward passes over one number of images: how many, and the nanoseconds of each step."""

    batches: int = 0
    preprocess_ns: int = 0
    inference_ns: int = 0
    postprocess_ns: int = 0


@dataclass(slots=True)
class BatchTotals:
    """All forward passes of one variant; ``last`` is the Unix time of the youngest one, 0: there was none."""

    sizes: dict[int, SizeTotals] = field(default_factory=dict)
    last: float = 0.0


class BatchSizes:
    """Counts the forward passes of one model process."""

    __slots__ = ("_at", "_cells", "_labels", "_last", "_slab")

    def __init__(self, slab: Slab, labels: tuple[str, ...]) -> None:
        self._slab, self._labels, self._cells = slab, labels, slab.cells
        self._last = slab.allocate(_LAST, labels, 1)
        self._at: dict[int, int] = {}

    def on_batch(self, images: int, preprocess_ns: int, inference_ns: int, postprocess_ns: int) -> None:
        """One forward pass over ``images``."""
        at = self._at.get(images)
        if at is None:
            at = self._at[images] = self._slab.allocate(_SIZES, (*self._labels, str(images)), 4)
        cells = self._cells
        cells[at] += 1.0
        cells[at + 1] += preprocess_ns
        cells[at + 2] += inference_ns
        cells[at + 3] += postprocess_ns
        cells[self._last] = time.time()


def read_batches(slabs: Iterable[Slab]) -> dict[tuple[str, ...], BatchTotals]:
    """The forward passes of every variant over all slabs, by (model, version, variant)."""
    found: dict[tuple[str, ...], BatchTotals] = {}
    for slab in slabs:
        for series in slab.series():
            if series.family not in (_SIZES, _LAST):
                continue
            totals = found.setdefault(series.labels[:_MODEL_LABELS], BatchTotals())
            if series.family == _LAST:
                totals.last = max(totals.last, slab.cells[series.start])
            else:
                size = totals.sizes.setdefault(int(series.labels[-1]), SizeTotals())
                batches, preprocess, inference, postprocess = slab.cells[series.start : series.start + series.count]
                size.batches += int(batches)
                size.preprocess_ns += int(preprocess)
                size.inference_ns += int(inference)
                size.postprocess_ns += int(postprocess)
    return found
