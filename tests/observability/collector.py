"""What an OpenTelemetry collector is to a server: takes spans and metrics as OTLP, protobuf over HTTP."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Keeps every span it is sent while the block runs, and the last state of every metric."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector._take_spans(ExportTraceServiceRequest.FromString(body))
                else:
                    assert self.path == "/v1/metrics"
                    collector._take_metrics(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> list[Any]:
        """The spans of that name so far."""
        return [span for span in list(self.spans) if span.name == name]

    def children(self, parent: Any) -> list[Any]:
        """The spans inside ``parent``, by their beginning."""
        found = [span for span in list(self.spans) if span.parent_span_id == parent.span_id]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano))

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """The last points of the metric of that name, by their attributes."""
        metric = self.metrics.get(name)
        if metric is None:
            return {}
        return {
            frozenset(attributes(point).items()): point
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        }

    def _take_metrics(self, message: ExportMetricsServiceRequest) -> None:
        for group in message.resource_metrics:
            self.resources.append(attributes(group.resource))
            for scope in group.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}

    def _take_spans(self, message: ExportTraceServiceRequest) -> None:
        for group in message.resource_spans:
            self.resources.append(attributes(group.resource))
            for scope in group.scope_spans:
                self.spans.extend(scope.spans)


def attributes(told: Any) -> dict[str, Any]:
    """The attributes of a span, a point or a resource as plain values."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in told.attributes}
