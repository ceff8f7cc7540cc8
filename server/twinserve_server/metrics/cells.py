"""Counters, gauges and histograms over the cells of a slab: a few plain additions, no lock, no system call."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from twinserve_server.metrics import families
from twinserve_server.metrics.batch_sizes import BatchSizes
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.slab import Slab

Labels = tuple[str, ...]


class Cell:
    """One counter or gauge."""

    __slots__ = ("_at", "_cells")

    def __init__(self, slab: Slab, family: Family, labels: Labels) -> None:
        self._cells = slab.cells
        self._at = slab.allocate(family.name, labels, family.cells)

    def add(self, amount: float = 1.0) -> None:
        """Count ``amount`` more."""
        self._cells[self._at] += amount

    @property
    def value(self) -> float:
        """What it counts up to."""
        return self._cells[self._at]

    def set(self, value: float) -> None:
        """Put a gauge to ``value``."""
        self._cells[self._at] = value


class Histogram:
    """One histogram: a count a bucket (not cumulative; the exposition sums), then the sum."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum_at")

    def __init__(self, slab: Slab, family: Family, labels: Labels) -> None:
        self._cells = slab.cells
        self._bounds = family.buckets
        self._at = slab.allocate(family.name, labels, family.cells)
        self._sum_at = self._at + len(family.buckets) + 1

    def observe(self, value: float) -> None:
        """Count one ``value``."""
        cells = self._cells
        cells[self._at + bisect_left(self._bounds, value)] += 1.0
        cells[self._sum_at] += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count each of ``values``."""
        cells, at, bounds = self._cells, self._at, self._bounds
        for value in values:
            cells[at + bisect_left(bounds, value)] += 1.0
        cells[self._sum_at] += sum(values)

    def cell_of(self, value: float) -> int:
        """The cell of the bucket that ``value`` falls into."""
        return self._at + bisect_left(self._bounds, value)


class BatchRecorder:
    """The forward passes of one model process."""

    def __init__(self, slab: Slab, labels: Labels) -> None:
        self._images = Histogram(slab, families.BATCH_IMAGES, labels)
        self._preprocess, self._inference, self._postprocess = (
            Histogram(slab, families.STAGE_SECONDS, (*labels, stage))
            for stage in ("preprocess", "inference", "postprocess")
        )
        self._sizes = BatchSizes(slab, labels)
        self._failed = Cell(slab, families.FAILED_BATCHES, labels)
        self._rescued, self._poisoned, self._not_run = (
            Cell(slab, families.FAILED_BATCH_IMAGES, (*labels, outcome))
            for outcome in ("rescued", "poisoned", "not_run")
        )

    def on_batch(self, images: int, preprocess_ns: int, inference_ns: int, postprocess_ns: int) -> None:
        """One forward pass over ``images``."""
        self._images.observe(images)
        self._preprocess.observe(preprocess_ns / 1e9)
        self._inference.observe(inference_ns / 1e9)
        self._postprocess.observe(postprocess_ns / 1e9)
        self._sizes.on_batch(images, preprocess_ns, inference_ns, postprocess_ns)

    def on_failed_batch(self, rescued: int, poisoned: int, not_run: int) -> None:
        """A forward pass failed; run alone, so many of its images were answered, failed, or were left out."""
        self._failed.add()
        self._rescued.add(rescued)
        self._poisoned.add(poisoned)
        self._not_run.add(not_run)
