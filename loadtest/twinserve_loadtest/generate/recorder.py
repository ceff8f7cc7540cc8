"""What one variant answered during a block: latencies, statuses, correctness, stages.

A :class:`Tally` holds sums and counts only, never an average or a percentile, so that tallies of
several workers or of several blocks merge exactly: merging is addition.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.percentiles import HIGHEST_US, new_histogram
from twinserve_loadtest.record.spread import ServerShare, summed
from twinserve_loadtest.record.wire import Classes, Histogram, Table

if TYPE_CHECKING:
    import numpy.typing as npt

    from twinserve_client import Prediction

OK = "OK"
STAGES = ("queue", "transfer", "preprocess", "inference", "postprocess", "total")
"""Of the server's time split, in seconds, as the SDK names them."""


def _pairs(counts: Counter[tuple[int, int]]) -> list[list[int]]:
    return [[label, predicted, count] for (label, predicted), count in counts.items()]


def _counts(pairs: Any) -> Any:
    return {(label, predicted): count for label, predicted, count in pairs} if isinstance(pairs, list) else pairs


Confusion = Annotated[Counter[tuple[int, int]], BeforeValidator(_counts), PlainSerializer(_pairs)]
"""(true class, predicted class) → images."""


@dataclass(slots=True)
class Tally:
    """Counts and sums of one variant; ``images_in_set`` is the size of the test set."""

    images_in_set: int
    histogram: Histogram = field(default_factory=new_histogram)
    """Latency of answered requests, µs."""
    latency_sum_us: int = 0
    latency_min_us: int | None = None
    latency_max_us: int | None = None
    codes: Counter[str] = field(default_factory=Counter)
    """Requests by gRPC status, OK included."""
    images: int = 0
    """Images answered."""
    stage_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Sum over answered requests."""
    batch_sizes: Counter[int] = field(default_factory=Counter)
    """Images in the forward pass that answered → requests."""
    confusion: Confusion = field(default_factory=Counter)
    """(true class, predicted class) → images."""
    predictions: Classes = field(default_factory=lambda: np.empty(0, np.uint16))
    """The last answer for each image of the test set (0: by a model without classes), or ``NOT_ANSWERED``."""
    probabilities: Table | None = None
    """When asked for: images of the set x classes, NaN where there is no answer."""
    keep_probabilities: bool = False
    servers: dict[str, ServerShare] = field(default_factory=dict)
    """By the address of the server."""

    def __post_init__(self) -> None:
        if not len(self.predictions):
            self.predictions = np.full(self.images_in_set, NOT_ANSWERED, np.uint16)

    def answered(
        self,
        indices: npt.NDArray[np.int64],
        labels: list[int],
        prediction: Prediction,
        latency_us: int,
        server: str = "",
    ) -> None:
        """Count one answered request; ``labels`` are empty where the test set has none."""
        latency_us = min(max(latency_us, 1), HIGHEST_US)
        share = self.servers.setdefault(server, ServerShare())
        share.requests += 1
        share.latency_sum_us += latency_us
        self.histogram.record_value(latency_us)
        self.latency_sum_us += latency_us
        if self.latency_min_us is None or latency_us < self.latency_min_us:
            self.latency_min_us = latency_us
        if self.latency_max_us is None or latency_us > self.latency_max_us:
            self.latency_max_us = latency_us
        self.codes[OK] += 1
        self.images += len(indices)
        timing, sums = prediction.timing, self.stage_seconds
        for stage in STAGES:
            sums[stage] += getattr(timing, stage)
        self.batch_sizes[timing.batch_size] += 1
        classes = prediction.classes
        if not classes.size:  # a model without classes
            self.predictions[indices] = 0
            return
        self.predictions[indices] = classes
        confusion = self.confusion
        for pair in zip(labels, classes.tolist(), strict=bool(labels)):
            confusion[pair] += 1
        if self.keep_probabilities:
            if self.probabilities is None:
                self.probabilities = self._no_probabilities(prediction.probabilities.shape[1])
            self.probabilities[indices] = prediction.probabilities

    def failed(self, code: str, server: str = "") -> None:
        """Count one request that ended with the gRPC status ``code``."""
        self.codes[code] += 1
        share = self.servers.setdefault(server, ServerShare())
        share.requests += 1
        share.failures[code] += 1

    @property
    def requests(self) -> int:
        """Requests sent and ended, failed ones included."""
        return self.codes.total()

    @property
    def failures(self) -> dict[str, int]:
        """Failed requests by status."""
        return {code: count for code, count in sorted(self.codes.items()) if code != OK}

    @property
    def correct(self) -> int:
        """Images whose predicted class is the true one."""
        return sum(count for (label, predicted), count in self.confusion.items() if label == predicted)

    @property
    def coverage(self) -> float:
        """Distinct images answered / images of the test set."""
        return float(np.count_nonzero(self.predictions != NOT_ANSWERED)) / self.images_in_set

    def merge(self, other: Tally) -> None:
        """Add another worker's or block's tally to this one, exactly."""
        self.histogram.add(other.histogram)
        self.latency_sum_us += other.latency_sum_us
        lows = [low for low in (self.latency_min_us, other.latency_min_us) if low is not None]
        highs = [high for high in (self.latency_max_us, other.latency_max_us) if high is not None]
        self.latency_min_us = min(lows, default=None)
        self.latency_max_us = max(highs, default=None)
        self.codes.update(other.codes)
        self.images += other.images
        self.servers = summed((self.servers, other.servers))
        for stage in STAGES:
            self.stage_seconds[stage] += other.stage_seconds[stage]
        self.batch_sizes.update(other.batch_sizes)
        self.confusion.update(other.confusion)
        known = other.predictions != NOT_ANSWERED
        self.predictions[known] = other.predictions[known]
        if other.probabilities is not None:
            if self.probabilities is None:
                self.probabilities = self._no_probabilities(other.probabilities.shape[1])
            self.probabilities[known] = other.probabilities[known]

    def _no_probabilities(self, classes: int) -> npt.NDArray[np.float32]:
        return np.full((self.images_in_set, classes), np.nan, np.float32)
