"""What is known of every replica, and what is left of those that have ended: their counts."""

from __future__ import annotations

import os

from twinserve_ray.reports import Beat, Key, Report
from twinserve_server.metrics import families
from twinserve_server.metrics.shared_memory import reserve
from twinserve_server.metrics.slab import SIZE, Slab

_GAUGES = frozenset(family.name for family in families.FAMILIES if family.kind == "gauge")


class Account:
    """The last report and the metrics of each replica, by tag; counters never fall when one ends."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._slabs: dict[str, Slab] = {}
        self._ended = _slab()
        self._beat = Beat()
        self._incarnations: dict[str, set[str]] = {}
        #: CPU seconds of model replicas that have ended.
        self.spent: dict[Key, float] = {}

    @property
    def reports(self) -> list[Report]:
        """The last of each replica that lives."""
        self._settle()
        return sorted(self._reports.values(), key=lambda report: report.process)

    @property
    def gateways(self) -> list[Report]:
        """Those of the gateways."""
        return [report for report in self.reports if report.key is None]

    @property
    def models(self) -> list[Report]:
        """Those of the models."""
        return [report for report in self.reports if report.key is not None]

    @property
    def slabs(self) -> list[Slab]:
        """The metrics of all, ended or not."""
        self._settle()
        return [self._ended, *self._slabs.values()]

    def take(self, report: Report) -> None:
        """Note ``report``."""
        if report.tag not in self._slabs:
            self._slabs[report.tag] = _slab()
            self._incarnations.setdefault(report.process, set()).add(report.tag)
        _mirror(self._slabs[report.tag], report)
        self._reports[report.tag] = report
        self._beat.heard(report.tag)

    def restarts(self, process: str) -> int:
        """How many replicas of that name there were before the one that lives."""
        return len(self._incarnations[process]) - 1

    def _settle(self) -> None:
        for tag in self._beat.lost():
            report, slab = self._reports.pop(tag), self._slabs.pop(tag)
            _add(self._ended, slab)
            if report.key is not None:
                self.spent[report.key] = self.spent.get(report.key, 0.0) + report.cpu_seconds
            slab.close()


def _slab() -> Slab:
    descriptor = reserve("metrics of a replica", SIZE)
    try:
        return Slab(descriptor)
    finally:
        os.close(descriptor)


def _mirror(slab: Slab, report: Report) -> None:
    """Make ``slab`` show what the replica's own showed when it reported."""
    shown = {(series.family, series.labels) for series, _ in report.series}
    slab.remove(lambda series: (series.family, series.labels) not in shown)
    for series, cells in report.series:
        start = slab.allocate(series.family, series.labels, series.count)
        for offset, value in enumerate(cells):
            slab.cells[start + offset] = value


def _add(total: Slab, ended: Slab) -> None:
    """Add the counters and histograms of ``ended`` to ``total``; what its gauges showed is no more."""
    for series, cells in ended.values():
        if series.family in _GAUGES:
            continue
        start = total.allocate(series.family, series.labels, series.count)
        for offset, value in enumerate(cells):
            total.cells[start + offset] += value
