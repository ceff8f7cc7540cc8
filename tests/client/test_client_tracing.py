"""Client spans: made when the program traces, absent otherwise, and joined to the server by ``traceparent``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.client_face import Face
from support.digit_server import Fault, Server
from twinserve_client import NotFoundError

Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where this process's spans go; OpenTelemetry takes one provider a process."""
    memory = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """The spans of one test."""
    exporter.clear()
    yield exporter
    exporter.clear()


def only(spans: InMemorySpanExporter, method: str) -> ReadableSpan:
    """The one span of a method."""
    (span,) = [span for span in spans.get_finished_spans() if span.name.endswith(f"/{method}")]
    return span


def test_a_call_is_a_client_span_within_the_callers(
    face: Face, spans: InMemorySpanExporter, server: Server, digits: Images
) -> None:
    client = face.open(server.target)
    with trace.get_tracer("test").start_as_current_span("work") as work:
        face.run(client.predict(digits))
        outer = work.get_span_context()
    span = only(spans, "Predict")
    assert span.name == "twinserve.v1.PredictService/Predict"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.parent is not None
    assert (span.parent.span_id, span.parent.trace_id) == (outer.span_id, outer.trace_id)
    assert span.attributes is not None
    assert span.attributes["rpc.method"] == "Predict"
    assert span.attributes["rpc.grpc.status_code"] == 0
    host, _, port = server.target.rpartition(":")
    assert (span.attributes["server.address"], span.attributes["server.port"]) == (host, int(port))


def test_the_context_travels_in_the_metadata(
    face: Face, spans: InMemorySpanExporter, server: Server, digits: Images
) -> None:
    face.run(face.open(server.target, token="t").compare(digits))
    context = only(spans, "Compare").context
    assert context is not None
    sent = server.behaviour.seen["Compare"]
    flags = int(context.trace_flags)
    assert sent["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    assert sent["authorization"] == "Bearer t"


def test_a_stream_is_one_span(face: Face, spans: InMemorySpanExporter, server: Server, digits: Images) -> None:
    face.take(face.open(server.target).predict_stream(digits))
    assert only(spans, "PredictStream").end_time is not None


def test_a_failure_is_told(face: Face, spans: InMemorySpanExporter, server: Server, digits: Images) -> None:
    server.behaviour.faults.append(Fault(grpc.StatusCode.NOT_FOUND, "variant: 'int4' is not served here"))
    with pytest.raises(NotFoundError):
        face.run(face.open(server.target).predict(digits))
    span = only(spans, "Predict")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == "variant: 'int4' is not served here"
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == 5


def test_a_program_that_does_not_trace_sends_no_context(
    face: Face, server: Server, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    client: Any = face.open(server.target)
    face.run(client.predict(digits))
    assert client._session._tracing is None
    assert "traceparent" not in server.behaviour.seen["Predict"]
