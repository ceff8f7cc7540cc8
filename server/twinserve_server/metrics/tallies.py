"""The cells that every request touches, looked up once and kept together by RPC method and by variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Histogram, Labels
from twinserve_server.metrics.family import Family

#: Reasons why a valid request may get no answer, counted from 0, so that a rate shows the first one.
EXPECTED_REFUSALS: Final = (
    "QUEUE_FULL",
    "DEADLINE_UNREACHABLE",
    "DEADLINE_PASSED",
    "CANCELLED",
    "MODEL_UNAVAILABLE",
)

FindCell = Callable[[Family, Labels], Cell]
FindHistogram = Callable[[Family, Labels], Histogram]


class RpcTally:
    """One RPC method."""

    __slots__ = ("_cell", "_handled", "_histogram", "_rpc", "_seconds", "_started")

    def __init__(self, cell: FindCell, histogram: FindHistogram, rpc: Labels) -> None:
        self._cell, self._histogram, self._rpc = cell, histogram, rpc
        self._started = cell(families.RPC_STARTED, rpc)
        self._handled = {"OK": cell(families.RPC_HANDLED, (*rpc, "OK"))}
        # Created by the first RPC: most methods are never called, and a histogram adds thirty lines to every scrape.
        self._seconds: Histogram | None = None

    @property
    def begun(self) -> float:
        """RPCs that have begun."""
        return self._started.value

    def started(self, count: int = 1) -> None:
        """An RPC began, or ``count`` of them."""
        self._started.add(count)

    def handled(self, code: str, seconds: float) -> None:
        """An RPC ended with ``code`` (a gRPC status name)."""
        found = self._handled.get(code)
        if found is None:
            found = self._handled[code] = self._cell(families.RPC_HANDLED, (*self._rpc, code))
        found.add()
        if self._seconds is None:
            self._seconds = self._histogram(families.RPC_SECONDS, self._rpc)
        self._seconds.observe(seconds)


class VariantTally:
    """The answers of one variant."""

    __slots__ = (
        "_cell",
        "_histogram",
        "_images",
        "_inference",
        "_labels",
        "_paths",
        "_postprocess",
        "_predicted",
        "_preprocess",
        "_queue",
        "feedback_correct",
        "feedback_images",
        "refused_seconds",
        "routed",
    )

    def __init__(self, cell: FindCell, histogram: FindHistogram, labels: Labels, class_labels: Sequence[str]) -> None:
        self._cell, self._histogram, self._labels = cell, histogram, labels
        self.routed = {reason: cell(families.ROUTED, (*labels, reason)) for reason in ("named", "key", "random")}
        for reason in EXPECTED_REFUSALS:
            cell(families.REFUSED, (*labels, reason))
        self.feedback_images = cell(families.FEEDBACK_IMAGES, labels)
        self.feedback_correct = cell(families.FEEDBACK_CORRECT, labels)
        self._paths: dict[str, tuple[Cell, Histogram]] = {}
        self._path("named")
        self._path("split")
        self._queue = histogram(families.STAGE_SECONDS, (*labels, "queue"))
        self._images = cell(families.IMAGES, labels)
        self._preprocess, self._inference, self._postprocess = (
            cell(families.REQUEST_STAGE_SECONDS, (*labels, stage))
            for stage in ("preprocess", "inference", "postprocess")
        )
        self.refused_seconds = cell(families.REFUSED_SECONDS, labels)
        # None for many classes: thousands of series per variant are too many for a scrape.
        counted = class_labels if len(class_labels) <= families.MAX_CLASS_SERIES else ()
        self._predicted = [cell(families.PREDICTIONS, (*labels, name)) for name in counted]

    def answered(self, calls: Sequence[Call]) -> None:
        """Count calls of one route whose jobs were done together."""
        route = calls[0].route
        jobs = [call.job for call in calls if call.job is not None]
        requests, seconds = self._paths.get(route) or self._path(route)
        requests.add(len(jobs))
        seconds.observe_all([call.total_ns / 1e9 for call in calls])
        self._queue.observe_all([job.queue_ns / 1e9 for job in jobs])
        self._preprocess.add(sum([job.preprocess_ns for job in jobs]) / 1e9)
        self._inference.add(sum([job.inference_ns for job in jobs]) / 1e9)
        self._postprocess.add(sum([job.postprocess_ns for job in jobs]) / 1e9)
        self._images.add(sum([job.count for job in jobs]))
        if self._predicted:
            classes = memoryview(b"".join([job.classes for job in jobs])).cast("I")
            for index, count in Counter(classes).items():
                self._predicted[index].add(count)

    def _path(self, path: str) -> tuple[Cell, Histogram]:
        labels = (*self._labels, path)
        found = self._paths[path] = (
            self._cell(families.REQUESTS, (*labels, "OK")),
            self._histogram(families.REQUEST_SECONDS, labels),
        )
        return found


class ShadowTally:
    """The runs of one variant as another's shadow; ``labels`` end with the primary.

    A model without ``classes`` has none that could differ: its runs are counted, and nothing is said of their answers.
    """

    __slots__ = ("_classes", "_difference", "_disagreements", "_images", "_requests", "dropped")

    def __init__(self, cell: FindCell, histogram: FindHistogram, labels: Labels, *, classes: bool) -> None:
        self.dropped = cell(families.SHADOW_DROPPED, labels)
        self._requests = cell(families.SHADOW_REQUESTS, labels)
        self._classes = classes
        if classes:
            self._images = cell(families.SHADOW_IMAGES, labels)
            self._disagreements = cell(families.SHADOW_DISAGREEMENTS, labels)
            self._difference = histogram(families.SHADOW_DIFFERENCE, labels)

    def compared(self, primary: Job, shadow: Job) -> None:
        """Count a request that ran on both."""
        self._requests.add()
        if not self._classes:
            return
        ours, theirs = (np.frombuffer(job.probabilities, np.float32) for job in (primary, shadow))
        differing = np.frombuffer(primary.classes, np.uint32) != np.frombuffer(shadow.classes, np.uint32)
        self._images.add(primary.count)
        self._disagreements.add(int(differing.sum()))
        self._difference.observe(float(np.abs(ours - theirs).max()))
