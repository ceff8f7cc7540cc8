"""``/metrics``: the sum of all workers' slabs, and the supervisor's own families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as OpenMetricsExemplar

from twinserve_server.metrics import families
from twinserve_server.metrics.exemplars import Exemplar, ExemplarBook
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.slab import Series, Slab
from twinserve_server.metrics.sums import Values, add_slabs

#: The traced requests of the latency histogram: (label values, number of the bucket) -> the last one.
Exemplars = dict[tuple[tuple[str, ...], int], Exemplar]
Bucket = tuple[str, float] | tuple[str, float, OpenMetricsExemplar]


class ServerCollector(Collector):
    """Merges the slabs on every scrape; reads memory only, so a scrape never waits for a worker."""

    def __init__(self, slabs: Callable[[], Iterable[Slab]], own: Callable[[], dict[str, Values]]) -> None:
        """
        Args:
            slabs: the slabs of every worker slot.
            own: the families that the supervisor writes, by family name.
        """
        self._slabs = slabs
        self._own = own

    def sums(self) -> dict[str, Values]:
        """The values of every family now, by its name."""
        return add_slabs(self._own(), self._slabs())

    def collect(self) -> Iterator[Metric]:
        """Every family, with or without samples yet."""
        slabs = list(self._slabs())
        merged = add_slabs(self._own(), slabs)
        exemplars: Exemplars = {}
        for slab in slabs:
            if slab.exemplars is not None:
                for series in slab.series():
                    if series.family == families.REQUEST_SECONDS.name:
                        _keep_latest(exemplars, slab.exemplars, series)
        for family in families.FAMILIES:
            yield _exposed(family, merged.get(family.name, {}), exemplars)


def _keep_latest(exemplars: Exemplars, book: ExemplarBook, series: Series) -> None:
    """Take the exemplars of a latency series that are younger than those of other workers."""
    for bucket in range(series.count - 1):
        found = book.get(series.start + bucket)
        if found is not None:
            present = exemplars.get((series.labels, bucket))
            if present is None or present.timestamp < found.timestamp:
                exemplars[series.labels, bucket] = found


def _exposed(family: Family, values: Values, exemplars: Exemplars) -> Metric:
    if family.kind == "histogram":
        return _exposed_histogram(family, values, exemplars if family is families.REQUEST_SECONDS else {})
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


def _exposed_histogram(family: Family, values: Values, exemplars: Exemplars) -> Metric:
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*map(repr, family.buckets), "+Inf"]
    for labels, cells in sorted(values.items()):
        buckets = [
            _bucket(bound, count, exemplars.get((labels, bucket)))
            for bucket, (bound, count) in enumerate(zip(bounds, accumulate(cells[:-1]), strict=True))
        ]
        histogram.add_metric(labels, buckets, sum_value=cells[-1])
    return histogram


def _bucket(bound: str, count: float, found: Exemplar | None) -> Bucket:
    if found is None:
        return bound, count
    where = {"trace_id": found.trace_id, "span_id": found.span_id}
    return bound, count, OpenMetricsExemplar(where, found.value, found.timestamp)
