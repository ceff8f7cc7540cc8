"""``/metrics``: the slabs of all workers, summed, and what the supervisor knows itself, for any Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from twinserve_server import metrics
from twinserve_server.metrics_slab import Slab

#: Values of one family: label values -> cells.
Values = dict[tuple[str, ...], list[float]]


class ServerCollector(Collector):
    """Merges on every scrape; reads memory only, so a scrape never waits for a worker."""

    def __init__(self, slabs: Callable[[], Iterable[Slab]], own: Callable[[], dict[str, Values]]) -> None:
        """
        Args:
            slabs: the slabs of every worker slot.
            own: the families that the supervisor writes, by family name.
        """
        self._slabs = slabs
        self._own = own

    def collect(self) -> Iterator[Metric]:
        """Every family, with or without samples yet."""
        merged = self._own()
        for slab in self._slabs():
            for series in slab.series():
                cells = slab.cells[series.start : series.start + series.count].tolist()
                values = merged.setdefault(series.family, {})
                present = values.get(series.labels)
                values[series.labels] = (
                    cells if present is None else [a + b for a, b in zip(present, cells, strict=True)]
                )
        for family in metrics.FAMILIES:
            yield _exposed(family, merged.get(family.name, {}))


def _exposed(family: metrics.Family, values: Values) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = [*(floatToGoString(bound) for bound in family.buckets), "+Inf"]
        for labels, cells in sorted(values.items()):
            total, buckets = 0.0, []
            for bound, count in zip(bounds, cells[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            histogram.add_metric(labels, buckets, sum_value=cells[-1])
        return histogram
    exposed: CounterMetricFamily | GaugeMetricFamily
    if family.kind == "counter":
        exposed = CounterMetricFamily(family.name, family.help, labels=family.labels)
    else:
        # An Info is a gauge of 1 by another name, and plain text format knows no other.
        name = f"{family.name}_info" if family.kind == "info" else family.name
        exposed = GaugeMetricFamily(name, family.help, labels=family.labels)
    for labels, cells in sorted(values.items()):
        exposed.add_metric(labels, cells[0])
    return exposed


def serve_metrics(host: str, port: int, collector: Collector) -> tuple[WSGIServer, threading.Thread]:
    """Serve ``collector`` in a thread; a port of 0 takes a free one (``server.server_port``).

    Raises:
        OSError: the address is in use.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = start_http_server(port, host, registry)
    return server, thread
