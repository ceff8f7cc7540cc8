"""Slabs after their writer's death, exemplars beside them, and what is told of single requests."""

from __future__ import annotations

import os

import pytest
import structlog
from structlog.testing import capture_logs

from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.engine.router import Router, TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import QueueFullError
from twinserve_server.metrics import exemplars, families
from twinserve_server.metrics.cells import Cell
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.recorder import Recorder
from twinserve_server.metrics.settlement import settle
from twinserve_server.metrics.shared_memory import reserve
from twinserve_server.metrics.slab import CELLS, SIZE, Slab
from twinserve_server.telemetry.slow_requests import SLOW_LINES_A_SECOND, SlowRequests

LABELS = ("m", "1", "int8")
RPC = ("unary", "s", "M")


@pytest.fixture
def version() -> ModelVersion:
    variant = Variant(name="int8", path="", sha256="", bytes=0)
    return ModelVersion("m", "1", (2,), ("UINT8",), "probabilities", ("a", "b"), {"int8": variant})


def answered(version: ModelVersion, route: str = "random", total_ns: int = 400_000) -> Call:
    served = ServedModel(version, {}, Router({"int8"}, TrafficPolicy({"int8": 1.0})))
    call = Call(served, "int8", route, "id")  # type: ignore[arg-type]
    call.job = Job(b"\0\0", "UINT8", 1, lambda _: None)
    call.job.classes = (1).to_bytes(4, "little")
    call.total_ns = total_ns
    call.state = "answered"
    return call


def value(slab: Slab, family: Family, labels: tuple[str, ...]) -> float:
    found = [series for series in slab.series() if (series.family, series.labels) == (family.name, labels)]
    return slab.cells[found[0].start] if found else 0.0


def test_what_a_dead_gateway_left_open_is_counted_as_its_callers_saw_it(version: ModelVersion) -> None:
    slab = Slab(reserve("slab", SIZE))
    recorder = Recorder(slab, "gateway-0")
    recorder.transfer_of(version, "int8")
    rpc = recorder.rpc_tally(*RPC)
    routes = ["named", "named", "key", "random", "random"]
    calls = [answered(version, route) for route in routes]
    for call in calls:
        rpc.started()
        call.state = "routed"
        recorder([call])
    calls[0].state = "answered"
    recorder([calls[0]])
    rpc.handled("OK", 0.001)
    calls[3].state, calls[3].error = "refused", QueueFullError("full")
    recorder([calls[3]])
    rpc.handled("RESOURCE_EXHAUSTED", 0.001)
    Cell(slab, families.IN_FLIGHT, (*LABELS, "gateway-0")).set(3)

    assert settle(slab) == 3
    assert value(slab, families.RPC_HANDLED, (*RPC, "UNAVAILABLE")) == 3
    assert value(slab, families.RPC_HANDLED, (*RPC, "OK")) == 1
    assert value(slab, families.REQUESTS, (*LABELS, "named", "UNAVAILABLE")) == 1
    assert value(slab, families.REQUESTS, (*LABELS, "split", "UNAVAILABLE")) == 2
    assert value(slab, families.REFUSED, (*LABELS, "GATEWAY_ENDED")) == 3
    assert value(slab, families.IN_FLIGHT, (*LABELS, "gateway-0")) == 0
    # The books are closed: there is nothing to settle twice.
    assert settle(slab) == 0
    assert value(slab, families.RPC_HANDLED, (*RPC, "UNAVAILABLE")) == 3


def test_the_next_writer_of_a_settled_slab_goes_on_counting() -> None:
    descriptor = reserve("slab", SIZE)
    first = Recorder(Slab(descriptor), "gateway-0").rpc_tally(*RPC)
    first.started()
    reader = Slab(descriptor)
    assert settle(reader) == 1
    second = Recorder(Slab(descriptor), "gateway-0").rpc_tally(*RPC)
    second.started()
    second.handled("UNAVAILABLE", 0.1)
    assert value(reader, families.RPC_STARTED, RPC) == 2
    assert value(reader, families.RPC_HANDLED, (*RPC, "UNAVAILABLE")) == 2


def test_a_shadow_run_is_nobodys_open_request(version: ModelVersion) -> None:
    slab = Slab(reserve("slab", SIZE))
    recorder = Recorder(slab, "gateway-0")
    recorder.transfer_of(version, "int8")
    recorder([answered(version, "shadow")])
    assert settle(slab) == 0
    assert value(slab, families.REFUSED, (*LABELS, "GATEWAY_ENDED")) == 0


def test_the_supervisor_reads_the_exemplar_that_a_gateway_wrote(version: ModelVersion) -> None:
    cells, traced = reserve("slab", SIZE), reserve("exemplars", exemplars.SIZE)
    recorder = Recorder(Slab(cells), "gateway-0", ExemplarBook(traced))
    recorder.transfer_of(version, "int8")
    recorder.put_exemplar(answered(version), (1 << 127) + 5, 7)
    reader, book = Slab(cells), ExemplarBook(traced)
    (series,) = [s for s in reader.series() if (s.family, s.labels[-1]) == (families.REQUEST_SECONDS.name, "split")]
    found = {bucket: book.get(series.start + bucket) for bucket in range(series.count)}
    (written,) = [bucket for bucket, exemplar in found.items() if exemplar is not None]
    assert families.LATENCY_BUCKETS[written - 1] < 0.0004 <= families.LATENCY_BUCKETS[written]
    exemplar = found[written]
    assert exemplar is not None
    assert (exemplar.trace_id, exemplar.span_id) == ("80000000000000000000000000000005", "0000000000000007")
    assert exemplar.value == 0.0004


def test_an_exemplar_caught_in_the_middle_of_a_write_is_passed_over() -> None:
    descriptor = reserve("exemplars", exemplars.SIZE)
    book = ExemplarBook(descriptor)
    book.put(3, 0.1, 1, 2)
    assert book.get(3) is not None
    # The first count of the record is one ahead, as when the writer has only begun.
    os.pwrite(descriptor, (2).to_bytes(8, "little"), 3 * exemplars.SIZE // CELLS)
    assert book.get(3) is None


def test_overload_does_not_become_a_flood_of_slow_lines(version: ModelVersion) -> None:
    structlog.reset_defaults()
    hook = SlowRequests(1_000_000)
    with capture_logs() as lines:
        hook([answered(version, total_ns=900_000)])
        assert lines == []
        for _ in range(5 * SLOW_LINES_A_SECOND):
            hook([answered(version, total_ns=2_000_000)])
    slow = [line for line in lines if line["event"] == "slow_request"]
    # The loop may span two seconds.
    assert SLOW_LINES_A_SECOND <= len(slow) <= 2 * SLOW_LINES_A_SECOND
    assert slow[0]["total_ms"] == 2.0
