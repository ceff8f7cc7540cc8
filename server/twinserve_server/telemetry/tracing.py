"""Traces with OpenTelemetry: a span for each RPC, joined to its caller's, and one for each stage of its requests.

OpenTelemetry is an optional extra; nothing here is imported while tracing is off.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from typing import Any, Final

import grpc
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from twinserve_server.engine.call import Call
from twinserve_server.engine.job import STAGES
from twinserve_server.metrics.recorder import Recorder
from twinserve_server.telemetry.journal import RpcRecord

#: The statuses that are the server's fault, by OpenTelemetry's conventions for gRPC servers.
_SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


class Tracing:
    """A hook that makes the spans of RPCs."""

    def __init__(self, exporter: str, share: float, process: str, recorder: Recorder) -> None:
        """
        Args:
            exporter: ``console`` (one line of JSON a span, on standard output) or ``otlp`` (protobuf over HTTP; where
                to: ``OTEL_EXPORTER_OTLP_ENDPOINT``, else this machine's port 4318).
            share: of traces that start here (0..1). For a trace started by the caller, the caller decides.
            process: the gateway's name.
            recorder: whose latency histogram gets exemplars.
        """
        self._recorder = recorder
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create(
                {
                    "service.name": "twinserve",
                    "service.version": version("twinserve"),
                    "service.instance.id": process,
                }
            ),
        )
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
        self._tracer = self._provider.get_tracer("twinserve_server", version("twinserve"))

    def __call__(self, record: RpcRecord, call: Call | None) -> None:
        """Open the span of an RPC when it has begun, make those of its requests, and close it when it has ended."""
        if call is not None:
            self._add(record, call)
        elif record.code:
            self._close(record)
        else:
            self._open(record)

    def _open(self, record: RpcRecord) -> None:
        """Open the RPC's span as a child of its caller's (W3C ``traceparent`` in the metadata)."""
        carrier = {key: value for key, value in record.metadata.items() if isinstance(value, str)}
        record.span = self._tracer.start_span(
            f"{record.method.service}/{record.method.name}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": record.method.service,
                "rpc.method": record.method.name,
                "network.peer.address": record.peer,
            },
        )

    def _close(self, record: RpcRecord) -> None:
        span, code = record.span, record.code
        span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
        if code in _SERVER_ERRORS:
            span.set_status(trace.StatusCode.ERROR, code)
        span.end()

    def _add(self, record: RpcRecord, call: Call) -> None:
        """Make a span of the request, if there are several, and one of each stage, from the time split.

        The split knows how long each stage took; the spans stand end to end. A request larger than the batch limit ran
        in several batches: its stages are sums, and may be longer than the request.
        """
        if not record.span.is_recording():
            return
        fields = {
            "twinserve.request_id": call.request_id,
            "twinserve.model": call.served.version.model,
            "twinserve.version": call.served.version.version,
            "twinserve.variant": call.variant,
            "twinserve.route": call.route,
        }
        job = call.job
        began = call.started_ns + time.time_ns() - time.monotonic_ns()
        parent = record.span
        # When the first request ends, it is not known yet whether the RPC carries several.
        single = record.method.direct is not None and not record.method.request_streaming
        if single:
            parent.set_attributes(fields)
        else:
            inside = trace.set_span_in_context(record.span)
            parent = self._tracer.start_span("request", inside, attributes=fields, start_time=began)
        if job is not None and call.error is None:
            parent.set_attributes({"twinserve.images": job.count, "twinserve.batch_size": job.batch_size})
            self._stages(parent, call, began)
            context = parent.get_span_context()
            self._recorder.put_exemplar(call, context.trace_id, context.span_id)
        if not single:
            parent.end(began + call.total_ns)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()

    def _stages(self, parent: trace.Span, call: Call, began: int) -> None:
        job = call.job
        assert job is not None
        inside = trace.set_span_in_context(parent)
        for name in STAGES:
            ended = began + int(getattr(job, f"{name}_ns"))
            self._tracer.start_span(name, inside, start_time=began).end(ended)
            began = ended


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter(out=sys.stdout, formatter=_line)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    from twinserve_server.telemetry.collector import collector_session  # noqa: PLC0415

    return OTLPSpanExporter(session=collector_session("TRACES"))


def _line(span: Any) -> str:
    return f"{span.to_json(indent=None)}\n"
