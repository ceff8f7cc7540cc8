"""A gateway's side of the metrics: the core's hooks, written in terms of slab cells."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from twinserve_server import metrics
from twinserve_server.core.engine import EngineObserver, ServedModel
from twinserve_server.core.errors import TwinserveError
from twinserve_server.core.feedback import Judgement
from twinserve_server.core.job import Job
from twinserve_server.core.router import RouteReason
from twinserve_server.metrics_cells import Cell, Histogram, Labels
from twinserve_server.metrics_slab import Slab
from twinserve_server.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorder(EngineObserver):
    """Writes what the gateway and its core tell into the worker's slab."""

    def __init__(self, slab: Slab, gateway: str) -> None:
        self._gateway = gateway
        self._cell: Callable[[metrics.Family, Labels], Cell] = cache(partial(Cell, slab))
        self._histogram: Callable[[metrics.Family, Labels], Histogram] = cache(partial(Histogram, slab))

    def rpc_started(self, rpc: Labels) -> None:
        """An RPC began; ``rpc`` is (type, service, method)."""
        self._cell(metrics.RPC_STARTED, rpc).add()

    def rpc_handled(self, rpc: Labels, code: str, seconds: float) -> None:
        """An RPC ended with ``code`` (a gRPC status name)."""
        self._cell(metrics.RPC_HANDLED, (*rpc, code)).add()
        self._histogram(metrics.RPC_SECONDS, rpc).observe(seconds)

    def channel_observer(self, model: str, version: str, variant: str) -> TransferRecorder:
        """The observer of one variant's channel."""
        return TransferRecorder(self._histogram, (model, version, variant))

    def queue_state(self, served: ServedModel, variant: str, waiting: int, in_flight: int) -> None:
        """Images waiting and running now."""
        labels = (*_labels(served, variant), self._gateway)
        self._cell(metrics.QUEUE_DEPTH, labels).set(waiting)
        self._cell(metrics.IN_FLIGHT, labels).set(in_flight)

    def on_routed(self, served: ServedModel, variant: str, reason: RouteReason) -> None:
        self._cell(metrics.ROUTED, (*_labels(served, variant), reason)).add()

    def on_refused(self, served: ServedModel, variant: str, route: str, error: TwinserveError) -> None:
        labels = _labels(served, variant)
        self._cell(metrics.REFUSED, (*labels, error.reason)).add()
        self._cell(metrics.REQUESTS, (*labels, route, status_of(error).name)).add()

    def on_answered(self, served: ServedModel, variant: str, route: str, job: Job, total_ns: int) -> None:
        labels = _labels(served, variant)
        self._cell(metrics.REQUESTS, (*labels, route, "OK")).add()
        self._histogram(metrics.REQUEST_SECONDS, (*labels, route)).observe(total_ns / 1e9)
        self._histogram(metrics.STAGE_SECONDS, (*labels, "queue")).observe(job.queue_ns / 1e9)
        names = served.version.labels
        classes = memoryview(job.classes).cast("I")
        if len(classes) == 1:
            self._cell(metrics.PREDICTIONS, (*labels, names[classes[0]])).add()
        else:
            for index, count in Counter(classes).items():
                self._cell(metrics.PREDICTIONS, (*labels, names[index])).add(count)

    def on_shadow_dropped(self, served: ServedModel, primary: str, variant: str) -> None:
        self._cell(metrics.SHADOW_DROPPED, (*_labels(served, variant), primary)).add()

    def on_shadow_compared(self, served: ServedModel, primary: str, shadow: str, first: Job, second: Job) -> None:
        labels = (*_labels(served, shadow), primary)
        ours, theirs = (
            np.frombuffer(first.probabilities, np.float32),
            np.frombuffer(second.probabilities, np.float32),
        )
        differing = np.frombuffer(first.classes, np.uint32) != np.frombuffer(second.classes, np.uint32)
        self._cell(metrics.SHADOW_REQUESTS, labels).add()
        self._cell(metrics.SHADOW_IMAGES, labels).add(first.count)
        self._cell(metrics.SHADOW_DISAGREEMENTS, labels).add(int(differing.sum()))
        self._histogram(metrics.SHADOW_DIFFERENCE, labels).observe(float(np.abs(ours - theirs).max()))

    def on_feedback(self, served: ServedModel, judgement: Judgement) -> None:
        labels = _labels(served, judgement.variant)
        self._cell(metrics.FEEDBACK_IMAGES, labels).add(judgement.total)
        self._cell(metrics.FEEDBACK_CORRECT, labels).add(judgement.correct)


class TransferRecorder:
    """Writes what one channel tells about its batches. (The model process writes what happens inside it.)"""

    def __init__(self, histogram: Callable[[metrics.Family, Labels], Histogram], labels: Labels) -> None:
        self._transfer = histogram(metrics.STAGE_SECONDS, (*labels, "transfer"))

    def on_transfer(self, transfer_ns: int) -> None:
        """A batch went to the model process and back."""
        self._transfer.observe(transfer_ns / 1e9)


def _labels(served: ServedModel, variant: str) -> Labels:
    return (served.version.model, served.version.version, variant)
