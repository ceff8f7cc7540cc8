"""What one variant answered during a block: latencies, statuses, correctness, stages.

A :class:`Tally` holds sums and counts only, never an average or a percentile, so that tallies of
several workers or of several blocks merge exactly: merging is addition.
"""

from __future__ import annotations

import base64
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from hdrh.histogram import HdrHistogram

from twinserve_loadtest.record.load_results import NOT_ANSWERED
from twinserve_loadtest.record.percentiles import HIGHEST_US, new_histogram

if TYPE_CHECKING:
    import numpy.typing as npt

    from twinserve_client import Prediction

OK = "OK"
STAGES = ("queue", "transfer", "preprocess", "inference", "postprocess", "total")
"""Of the server's time split, in seconds, as the SDK names them."""


@dataclass(slots=True)
class Samples:
    """Every answered request of a block, in the order of the answers."""

    offset_us: array[int] = field(default_factory=lambda: array("I"))
    """Send (open loop: intended send) after the start of the block."""
    latency_us: array[int] = field(default_factory=lambda: array("I"))
    image: array[int] = field(default_factory=lambda: array("I"))
    """Index of the request's first image in the test set."""


@dataclass(slots=True)
class Tally:
    """Counts and sums of one variant; ``images_in_set`` is the size of the test set."""

    images_in_set: int
    histogram: HdrHistogram = field(default_factory=new_histogram)
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
    confusion: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(true class, predicted class) → images."""
    predictions: npt.NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))
    """The last answer for each image of the test set, or ``NOT_ANSWERED``."""
    probabilities: npt.NDArray[np.float32] | None = None
    """When asked for: images of the set x classes, NaN where there is no answer."""
    keep_probabilities: bool = False
    samples: Samples | None = None

    def __post_init__(self) -> None:
        if not len(self.predictions):
            self.predictions = np.full(self.images_in_set, NOT_ANSWERED, np.uint16)

    def answered(
        self,
        indices: npt.NDArray[np.int64],
        labels: list[int],
        prediction: Prediction,
        offset_us: int,
        latency_us: int,
    ) -> None:
        """Count one answered request."""
        latency_us = min(max(latency_us, 1), HIGHEST_US)
        self.histogram.record_value(latency_us)
        self.latency_sum_us += latency_us
        if self.latency_min_us is None or latency_us < self.latency_min_us:
            self.latency_min_us = latency_us
        if self.latency_max_us is None or latency_us > self.latency_max_us:
            self.latency_max_us = latency_us
        self.codes[OK] += 1
        self.images += len(labels)
        timing, sums = prediction.timing, self.stage_seconds
        for stage in STAGES:
            sums[stage] += getattr(timing, stage)
        self.batch_sizes[timing.batch_size] += 1
        classes = prediction.classes
        self.predictions[indices] = classes
        confusion = self.confusion
        for pair in zip(labels, classes.tolist(), strict=True):
            confusion[pair] += 1
        if self.keep_probabilities:
            if self.probabilities is None:
                self.probabilities = self._no_probabilities(prediction.probabilities.shape[1])
            self.probabilities[indices] = prediction.probabilities
        if self.samples is not None:
            self.samples.offset_us.append(offset_us)
            self.samples.latency_us.append(latency_us)
            self.samples.image.append(int(indices[0]))

    def failed(self, code: str) -> None:
        """Count one request that ended with the gRPC status ``code``."""
        self.codes[code] += 1

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
        if self.samples is not None and other.samples is not None:
            self.samples.offset_us.extend(other.samples.offset_us)
            self.samples.latency_us.extend(other.samples.latency_us)
            self.samples.image.extend(other.samples.image)

    def _no_probabilities(self, classes: int) -> npt.NDArray[np.float32]:
        return np.full((self.images_in_set, classes), np.nan, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for Locust's messages and for JSON."""
        return {
            "images_in_set": self.images_in_set,
            "histogram": self.histogram.encode().decode("ascii"),
            "latency_sum_us": self.latency_sum_us,
            "latency_min_us": self.latency_min_us,
            "latency_max_us": self.latency_max_us,
            "codes": dict(self.codes),
            "images": self.images,
            "stage_seconds": self.stage_seconds,
            "batch_sizes": list(self.batch_sizes.items()),
            "confusion": [[label, predicted, count] for (label, predicted), count in self.confusion.items()],
            "predictions": _pack(self.predictions.astype("<u2").tobytes()),
            "probabilities": None if self.probabilities is None else _pack(self.probabilities.astype("<f4").tobytes()),
            "samples": None
            if self.samples is None
            else [
                _pack(column.tobytes())
                for column in (self.samples.offset_us, self.samples.latency_us, self.samples.image)
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tally:
        """The reverse of :meth:`to_dict`."""
        samples, probabilities = values["samples"], values["probabilities"]
        images = values["images_in_set"]
        return cls(
            images_in_set=images,
            histogram=HdrHistogram.decode(values["histogram"]),
            latency_sum_us=values["latency_sum_us"],
            latency_min_us=values["latency_min_us"],
            latency_max_us=values["latency_max_us"],
            codes=Counter(values["codes"]),
            images=values["images"],
            stage_seconds=dict(values["stage_seconds"]),
            batch_sizes=Counter(dict(values["batch_sizes"])),
            confusion=Counter({(label, predicted): count for label, predicted, count in values["confusion"]}),
            predictions=np.frombuffer(_unpack(values["predictions"]), "<u2").astype(np.uint16),
            probabilities=None
            if probabilities is None
            else np.frombuffer(_unpack(probabilities), "<f4").astype(np.float32).reshape(images, -1),
            samples=None if samples is None else Samples(*(array("I", _unpack(column)) for column in samples)),
        )


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.b64decode(text)
