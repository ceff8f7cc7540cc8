"""A gateway's side of the metrics: events from the transport and the engine, written into slab cells.

Every request passes through here, so the cells it touches are looked up once and kept in a tally.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import cache, partial

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.call import Call
from twinserve_server.engine.feedback import Judgement
from twinserve_server.engine.served import ServedModel
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Histogram, Labels
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.slab import Slab
from twinserve_server.metrics.tallies import FindCell, FindHistogram, RpcTally, ShadowTally, VariantTally
from twinserve_server.rpc.status import status_of


class Recorder:
    """The engine hook that writes the gateway's metrics into the worker's slab."""

    def __init__(self, slab: Slab, gateway: str, exemplars: ExemplarBook | None = None) -> None:
        """``exemplars``: where traced requests are remembered, if they are."""
        self._slab = slab
        self._gateway = gateway
        self._exemplars = exemplars
        self._tallies: dict[Labels, VariantTally] = {}
        self._shadows: dict[Labels, ShadowTally] = {}
        self._look_up_anew()

    def rpc_tally(self, kind: str, service: str, method: str) -> RpcTally:
        """The counters of one RPC method; its series exist from now on, at 0."""
        return RpcTally(self._cell, self._histogram, (kind, service, method))

    def transfer_of(self, version: ModelVersion, variant: str) -> Callable[[int], None]:
        """Takes the nanoseconds each batch of a variant was under way; its series exist from now on, at 0."""
        labels = (version.model, version.version, variant)
        self._tallies[labels] = VariantTally(self._cell, self._histogram, labels, version.labels)
        transfer = self._histogram(families.STAGE_SECONDS, (*labels, "transfer"))
        return lambda transfer_ns: transfer.observe(transfer_ns / 1e9)

    def queue_state(self, served: ServedModel, variant: str) -> None:
        """What waits and runs of a variant now."""
        channel, labels = served.channels[variant], (*_labels(served, variant), self._gateway)
        self._cell(families.QUEUE_DEPTH, labels).set(channel.queue.images)
        self._cell(families.QUEUE_REQUESTS, labels).set(len(channel.queue))
        self._cell(families.QUEUE_BYTES, labels).set(channel.queue.bytes)
        self._cell(families.IN_FLIGHT, labels).set(channel.images_in_flight)
        self._cell(families.IN_FLIGHT_BYTES, labels).set(channel.bytes_in_flight)

    def keep_only(self, versions: Set[tuple[str, str]]) -> None:
        """Take away the series of all versions but these (model, version); nothing may count for the others any more.

        A version that is loaded again counts from 0, which Prometheus takes for a restart.
        """
        gone = self._slab.remove(
            lambda series: (
                series.family in families.BY_NAME
                and families.BY_NAME[series.family].labels[:3] == families.MODEL
                and (series.labels[0], series.labels[1]) not in versions
            )
        )
        if not gone:
            return
        if self._exemplars is not None:
            for series in gone:
                self._exemplars.forget(series.start, series.count)
        self._look_up_anew()
        self._tallies = {labels: tally for labels, tally in self._tallies.items() if labels[:2] in versions}
        self._shadows = {labels: tally for labels, tally in self._shadows.items() if labels[:2] in versions}

    def _look_up_anew(self) -> None:
        self._cell: FindCell = cache(partial(Cell, self._slab))
        self._histogram: FindHistogram = cache(partial(Histogram, self._slab))

    def log_lines_lost(self, lines: int) -> None:
        """Lines of the log that could not be written; ``lines`` more than before."""
        self._cell(families.LOG_LINES_LOST, (self._gateway,)).add(lines)

    def __call__(self, event: Sequence[Call] | Judgement) -> None:
        """Count calls that were routed or have ended together, or a judgement."""
        if isinstance(event, Judgement):
            # None: that version is unloaded, and its series with it.
            if (found := self._tallies.get((event.model, event.version, event.variant))) is not None:
                found.feedback_images.add(event.total)
                found.feedback_correct.add(event.correct)
            return
        first = event[0]
        tally = self._tallies[_labels(first.served, first.variant)]
        if first.state == "routed":
            for call in event:
                tally.routed[call.reason].add()
        elif first.state == "answered":
            for route in {call.route for call in event}:
                tally.answered([call for call in event if call.route == route])
            if first.primary is not None:
                self._compare(event)
        else:
            for call in event:
                self._refused(call, tally)

    def _compare(self, shadows: Sequence[Call]) -> None:
        for call in shadows:
            if call.primary is not None:
                assert call.primary.job is not None
                assert call.job is not None
                self._shadow(call.primary, call).compared(call.primary.job, call.job)

    def _refused(self, call: Call, tally: VariantTally) -> None:
        if call.primary is not None and call.state == "dropped":
            self._shadow(call.primary, call).dropped.add()
        elif call.error is not None:
            labels = _labels(call.served, call.variant)
            self._cell(families.REFUSED, (*labels, call.error.reason)).add()
            self._cell(families.REQUESTS, (*labels, call.route, status_of(call.error).name)).add()
            tally.refused_seconds.add(call.total_ns / 1e9)

    def put_exemplar(self, call: Call, trace_id: int, span_id: int) -> None:
        """Remember an answered call by its trace, in its bucket of the latency histogram."""
        if self._exemplars is not None:
            seconds = call.total_ns / 1e9
            histogram = self._histogram(families.REQUEST_SECONDS, (*_labels(call.served, call.variant), call.route))
            self._exemplars.put(histogram.cell_of(seconds), seconds, trace_id, span_id)

    def _shadow(self, primary: Call, shadow: Call) -> ShadowTally:
        labels = (*_labels(shadow.served, shadow.variant), primary.variant)
        found = self._shadows.get(labels)
        if found is None:
            found = self._shadows[labels] = ShadowTally(
                self._cell, self._histogram, labels, classes=bool(shadow.served.version.classes)
            )
        return found


def _labels(served: ServedModel, variant: str) -> Labels:
    return (served.version.model, served.version.version, variant)
