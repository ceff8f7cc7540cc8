"""One trace from the SDK through the server's stages, its request in the log and in the latency histogram."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from observability.collector import Collector, attributes
from observability.prometheus_process import PrometheusProcess
from support.server_process import ServerProcess, wait_until
from support.tiny_model import items
from twinserve_client import Client, NotFoundError

STAGES = ["queue", "transfer", "preprocess", "inference", "postprocess"]
SERVICE = "twinserve.v1.PredictService"


@dataclass(frozen=True, slots=True)
class Traced:
    """A server that traces to a collector and logs every RPC, and a client that traces."""

    server: ServerProcess
    collector: Collector
    client: Client
    client_spans: InMemorySpanExporter

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the server's log with that event."""
        found = [json.loads(line) for line in self.server.log().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]


@pytest.fixture(scope="module")
def traced(twin_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    memory = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    # Every request is a slow one.
    flags = ["--gateways", "1", "--tracing", "otlp", "--log-level", "debug", "--log-format", "json"]
    flags += ["--slow-request-ms", "0.001"]
    with ExitStack() as stack:
        collector = stack.enter_context(Collector())
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
            environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
            # A collector on this machine is reached past any proxy; nobody listens at this one.
            environment.setenv("http_proxy", "http://127.0.0.1:1")
            server = stack.enter_context(ServerProcess(twin_models, tmp_path_factory.mktemp("traced"), *flags))
        client = stack.enter_context(Client(server.target))
        yield Traced(server, collector, client, memory)


def test_a_request_is_one_trace_from_the_client_through_the_stages(traced: Traced) -> None:
    with trace.get_tracer("test").start_as_current_span("work") as work:
        answer = traced.client.predict(items(3), variant="int8", request_id="one-trace")
    trace_id = work.get_span_context().trace_id.to_bytes(16, "big")
    wait_until(lambda: [span for span in traced.collector.named(f"{SERVICE}/Predict") if span.trace_id == trace_id], 30)
    (server_span,) = [span for span in traced.collector.named(f"{SERVICE}/Predict") if span.trace_id == trace_id]
    assert server_span.kind == Span.SPAN_KIND_SERVER
    by_id = {span.context.span_id: span for span in traced.client_spans.get_finished_spans() if span.context}
    client_span = by_id[int.from_bytes(server_span.parent_span_id, "big")]
    assert client_span.kind is trace.SpanKind.CLIENT
    assert client_span.parent is not None
    assert client_span.parent.span_id == work.get_span_context().span_id
    told = attributes(server_span)
    assert told["twinserve.request_id"] == "one-trace"
    assert told["twinserve.variant"] == "int8"
    assert told["twinserve.images"] == 3
    assert told["rpc.grpc.status_code"] == 0
    assert traced.collector.resources[0]["service.name"] == "twinserve"

    stages = traced.collector.children(server_span)
    assert [span.name for span in stages] == STAGES
    seconds = {span.name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for span in stages}
    for name in STAGES:
        assert seconds[name] == pytest.approx(getattr(answer.timing, name), abs=1e-6)
    # They lie within the request, end to end.
    assert stages[0].start_time_unix_nano >= server_span.start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= server_span.end_time_unix_nano
    for before, after in itertools.pairwise(stages):
        assert before.end_time_unix_nano == after.start_time_unix_nano


def test_the_requests_of_a_stream_and_of_a_comparison_are_spans_of_their_own(traced: Traced) -> None:
    list(traced.client.predict_stream([items(1), items(2)]))
    traced.client.compare(items(1))
    wait_until(lambda: traced.collector.named(f"{SERVICE}/Compare"), 30)
    for method, count in (("PredictStream", 2), ("Compare", 2)):
        (parent,) = traced.collector.named(f"{SERVICE}/{method}")
        requests = traced.collector.children(parent)
        assert [span.name for span in requests] == ["request"] * count
        assert [span.name for span in traced.collector.children(requests[0])] == STAGES


def test_a_failed_request_is_a_span_with_its_status(traced: Traced) -> None:
    with trace.get_tracer("test").start_as_current_span("failing") as work, pytest.raises(NotFoundError):
        traced.client.predict(items(1), variant="int4")
    trace_id = work.get_span_context().trace_id.to_bytes(16, "big")
    wait_until(lambda: [span for span in traced.collector.spans if span.trace_id == trace_id], 30)
    (span,) = [span for span in traced.collector.spans if span.trace_id == trace_id]
    assert attributes(span)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    # The caller's mistake is no error of the server's.
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_the_log_names_the_request_and_its_trace_and_where_its_time_went(traced: Traced) -> None:
    with trace.get_tracer("test").start_as_current_span("logged") as work:
        answer = traced.client.predict(items(2), variant="fp32", request_id="logged")
    trace_id = f"{work.get_span_context().trace_id:032x}"
    wait_until(lambda: [line for line in traced.lines("rpc") if line.get("request_id") == "logged"], 30)
    (access,) = [line for line in traced.lines("rpc") if line.get("request_id") == "logged"]
    (slow,) = [line for line in traced.lines("slow_request") if line["request_id"] == "logged"]
    assert access["rpc"] == f"{SERVICE}/Predict"
    assert access["process"] == "gateway-0"
    assert access["level"] == "debug"
    assert slow["level"] == "warning"
    for line in (access, slow):
        assert line["trace_id"] == trace_id
        assert (line["variant"], line["images"], line["code"]) == ("fp32", 2, "OK")
        assert line["inference_ms"] == pytest.approx(1e3 * answer.timing.inference, abs=1e-3)
    assert sum(slow[f"{stage}_ms"] for stage in STAGES) <= slow["total_ms"] + 0.01


def test_an_answer_names_its_request_in_the_trailing_metadata(traced: Traced) -> None:
    from support.server_process import request

    answer, call = traced.server.predict.Predict.with_call(request(items(1)), timeout=30)
    # As logs and traces name it: without the signed answer that follows the name in the body.
    name, signed, _ = answer.request_id.partition(".s1.")
    assert signed
    assert ("x-request-id", name) in [tuple(entry) for entry in call.trailing_metadata()]


@pytest.mark.prometheus
def test_prometheus_stores_the_trace_of_a_request_in_its_latency_bucket(traced: Traced, tmp_path: Path) -> None:
    with PrometheusProcess(traced.server.metrics_port, tmp_path) as prometheus:
        with trace.get_tracer("test").start_as_current_span("exemplary") as work:
            answer = traced.client.predict(items(1), variant="fp32")
        prometheus.wait_for_scrape()
        selector = 'twinserve_request_duration_seconds_bucket{variant="fp32",route="named"}'
        found = [
            exemplar
            for series in prometheus.api("query_exemplars", query=selector, start="0", end="9999999999")
            for exemplar in series["exemplars"]
        ]
    trace_id = f"{work.get_span_context().trace_id:032x}"
    (ours,) = [exemplar for exemplar in found if exemplar["labels"]["trace_id"] == trace_id]
    assert float(ours["value"]) == pytest.approx(answer.timing.total)


def test_opentelemetry_is_not_even_imported_while_tracing_is_off() -> None:
    script = """
import sys
import twinserve_server.gateway, twinserve_server.supervisor.start
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
