"""``/metrics``: the slabs of all workers, summed, and what the supervisor knows itself, for any Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

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
                cells = list(slab.cells[series.start : series.start + series.count])
                values = merged.setdefault(series.family, {})
                present = values.get(series.labels)
                values[series.labels] = (
                    cells if present is None else [a + b for a, b in zip(present, cells, strict=True)]
                )
        for family in metrics.FAMILIES:
            yield _exposed(family, merged.get(family.name, {}))


def _exposed(family: metrics.Family, values: Values) -> Metric:
    if family.kind == "histogram":
        return _exposed_histogram(family, values)
    if family.kind == "info":
        info = InfoMetricFamily(family.name, family.help, labels=family.labels)
        for labels in sorted(values):
            info.add_metric(labels, {})
        return info
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    exposed = make(family.name, family.help, labels=family.labels)
    for labels, cells in sorted(values.items()):
        exposed.add_metric(labels, cells[0])
    return exposed


def _exposed_histogram(family: metrics.Family, values: Values) -> Metric:
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(repr, family.buckets), "+Inf"]
    for labels, cells in sorted(values.items()):
        buckets = list(zip(bounds, accumulate(cells[:-1]), strict=True))
        histogram.add_metric(labels, buckets, sum_value=cells[-1])
    return histogram


def serve_metrics(host: str, port: int, collector: Collector) -> tuple[WSGIServer, threading.Thread]:
    """Serve ``collector`` in a thread; a port of 0 takes a free one (``server.server_port``).

    Raises:
        OSError: the address is in use.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = start_http_server(port, host, registry)
    return server, thread
