"""A gateway's side of the metrics: what the transport and the core tell, written into slab cells.

Every request comes through here, so the cells it touches are looked up once and kept in a tally.
"""

from __future__ import annotations

from functools import cache, partial

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.engine import Call, EngineObserver, ServedModel
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import TwinserveError
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Histogram, Labels
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.slab import Slab
from twinserve_server.metrics.tallies import FindCell, FindHistogram, RpcTally, ShadowTally, VariantTally
from twinserve_server.rpc.status import status_of


class Recorder(EngineObserver):
    """Writes what the gateway and its core tell into the worker's slab."""

    def __init__(self, slab: Slab, gateway: str, exemplars: ExemplarBook | None = None) -> None:
        """``exemplars``: where traced requests are remembered, if they are."""
        self._gateway = gateway
        self._exemplars = exemplars
        self._cell: FindCell = cache(partial(Cell, slab))
        self._histogram: FindHistogram = cache(partial(Histogram, slab))
        self._tallies: dict[tuple[str, str], VariantTally] = {}
        self._shadows: dict[Labels, ShadowTally] = {}

    def rpc_tally(self, kind: str, service: str, method: str) -> RpcTally:
        """The counters of one RPC method; its series exist from now on, at 0."""
        return RpcTally(self._cell, self._histogram, (kind, service, method))

    def channel_observer(self, version: ModelVersion, variant: str) -> TransferRecorder:
        """The observer of one variant's channel; the variant's series exist from now on, at 0."""
        labels = (version.model, version.version, variant)
        self._tallies[version.model, variant] = VariantTally(self._cell, self._histogram, labels, version.labels)
        return TransferRecorder(self._histogram(families.STAGE_SECONDS, (*labels, "transfer")))

    def queue_state(self, served: ServedModel, variant: str, waiting: int, in_flight: int) -> None:
        """Images waiting and running now."""
        labels = (*_labels(served, variant), self._gateway)
        self._cell(families.QUEUE_DEPTH, labels).set(waiting)
        self._cell(families.IN_FLIGHT, labels).set(in_flight)

    def on_routed(self, call: Call) -> None:
        self._tallies[call.served.version.model, call.variant].routed[call.reason].add()

    def on_answered(self, call: Call) -> None:
        self._tallies[call.served.version.model, call.variant].answered(call)

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        labels = _labels(call.served, call.variant)
        self._cell(families.REFUSED, (*labels, error.reason)).add()
        self._cell(families.REQUESTS, (*labels, call.route, status_of(error).name)).add()

    def on_shadow_dropped(self, primary: Call, shadow: str) -> None:
        self._shadow(primary.served, primary.variant, shadow).dropped.add()

    def on_shadow_compared(self, primary: Call, shadow: Call) -> None:
        assert primary.job is not None
        assert shadow.job is not None
        self._shadow(primary.served, primary.variant, shadow.variant).compared(primary.job, shadow.job)

    def put_exemplar(self, call: Call, trace_id: int, span_id: int) -> None:
        """Remember an answered call by its trace, in its bucket of the latency histogram."""
        if self._exemplars is not None:
            seconds = call.total_ns / 1e9
            histogram = self._histogram(families.REQUEST_SECONDS, (*_labels(call.served, call.variant), call.route))
            self._exemplars.put(histogram.cell_of(seconds), seconds, trace_id, span_id)

    def on_feedback(self, judgement: Judgement) -> None:
        tally = self._tallies[judgement.model, judgement.variant]
        tally.feedback_images.add(judgement.total)
        tally.feedback_correct.add(judgement.correct)

    def _shadow(self, served: ServedModel, primary: str, shadow: str) -> ShadowTally:
        labels = (*_labels(served, shadow), primary)
        found = self._shadows.get(labels)
        if found is None:
            found = self._shadows[labels] = ShadowTally(self._cell, self._histogram, labels)
        return found


class TransferRecorder:
    """Writes what one channel tells about its batches. (The model process writes what happens inside it.)"""

    def __init__(self, transfer: Histogram) -> None:
        self._transfer = transfer

    def on_transfer(self, transfer_ns: int) -> None:
        """A batch went to the model process and back."""
        self._transfer.observe(transfer_ns / 1e9)


def _labels(served: ServedModel, variant: str) -> Labels:
    return (served.version.model, served.version.version, variant)
