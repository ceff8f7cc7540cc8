"""The families of ``/metrics``, pushed to an OpenTelemetry collector: OTLP, protobuf over HTTP.

OpenTelemetry is an optional extra; nothing here is imported while the export is off.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from twinserve_server.metrics import families
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.sums import Values
from twinserve_server.structured_log import structlog
from twinserve_server.telemetry.collector import collector_session

log = structlog.get_logger()

_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
#: OpenTelemetry's names where it has any (semantic conventions for RPC); all other families keep ours.
_NAMES: Final = {families.RPC_SECONDS.name: "rpc.server.call.duration"}
_UNITS: Final = {"_seconds": "s", "_bytes": "By"}
#: How long the last export of a stopping server waits for its collector.
_LAST_SECONDS: Final = 5.0


class MetricsExport:
    """A thread that sends every family in turn, and once more at the end."""

    def __init__(self, sums: Callable[[], dict[str, Values]], instance: str) -> None:
        """
        Args:
            sums: every family's values, over all processes of the server.
            instance: the server's name among others.
        """
        self._sums = sums
        self._started_ns = time.time_ns()
        self._exporter = OTLPMetricExporter(session=collector_session("METRICS"))
        self._seconds = max(0.1, int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or 60_000) / 1000)
        told = {"service.name": "twinserve", "service.version": version("twinserve"), "service.instance.id": instance}
        self._resource = Resource.create(told)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-export", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what has happened since, if the collector takes it in time."""
        self._end.set()
        self._thread.join(_LAST_SECONDS)
        self._exporter.shutdown()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._end.wait(self._seconds)
            try:
                self._exporter.export(self._data(), timeout_millis=_LAST_SECONDS * 1000 if ended else 10_000)
            except Exception as error:  # noqa: BLE001  (what a collector does must not end the export)
                log.warning("metrics_not_exported", error=f"{type(error).__name__}: {error}"[:300])

    def _data(self) -> MetricsData:
        sums, now = self._sums(), time.time_ns()
        metrics = [
            self._metric(family, values, now) for family in families.FAMILIES if (values := sums.get(family.name))
        ]
        scope = InstrumentationScope("twinserve_server", version("twinserve"))
        return MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(scope, metrics, "")], "")])

    def _metric(self, family: Family, values: Values, now: int) -> Metric:
        name = f"{family.name}_info" if family.kind == "info" else family.name
        unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "1")
        data: Histogram | Sum | Gauge
        if family.kind == "histogram":
            data = Histogram([self._histogram(family, *entry, now) for entry in values.items()], _CUMULATIVE)
        else:
            points = [
                NumberDataPoint(attributes(family, labels), self._started_ns, now, cells[0] if cells else 1)
                for labels, cells in values.items()
            ]
            data = Sum(points, _CUMULATIVE, is_monotonic=True) if family.kind == "counter" else Gauge(points)
        return Metric(_NAMES.get(family.name, name), family.help, unit, data)

    def _histogram(self, family: Family, labels: tuple[str, ...], cells: list[float], now: int) -> HistogramDataPoint:
        counts = [int(cell) for cell in cells[:-1]]
        return HistogramDataPoint(
            attributes(family, labels),
            self._started_ns,
            now,
            count=sum(counts),
            sum=cells[-1],
            bucket_counts=counts,
            explicit_bounds=family.buckets,
            min=None,  # type: ignore[arg-type]  # optional in the protocol, and nobody keeps it
            max=None,  # type: ignore[arg-type]
        )


def attributes(family: Family, labels: tuple[str, ...]) -> dict[str, str]:
    """The labels of a series; those of an RPC as OpenTelemetry names them."""
    told = dict(zip(family.labels, labels, strict=True))
    if "grpc_method" not in told:
        return told
    found = {"rpc.system.name": "grpc", "rpc.method": f"{told['grpc_service']}/{told['grpc_method']}"}
    if code := told.get("grpc_code"):
        found["rpc.response.status_code"] = code
    return found
