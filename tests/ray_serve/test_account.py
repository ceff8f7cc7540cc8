"""What the application has counted does not fall when a replica ends."""

from __future__ import annotations

import pytest

from twinserve_ray import reports
from twinserve_ray.account import Account
from twinserve_ray.reports import Report
from twinserve_server.host.memory import ResidentBytes
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Histogram
from twinserve_server.metrics.shared_memory import reserve
from twinserve_server.metrics.slab import SIZE, Slab
from twinserve_server.metrics.sums import add_slabs

LABELS = ("mnist", "1", "int8")


def report(process: str, tag: str, slab: Slab, seconds: float) -> Report:
    series = list(slab.values())
    return Report(process, tag, 1, series, ResidentBytes(0, 0, 0), seconds, ready=True, key=("mnist", "int8"))


def test_counts_of_a_replica_that_ended_stay_and_its_gauges_go(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("twinserve_ray.reports.time.monotonic", lambda: clock)
    account = Account()
    for incarnation in ("first", "second"):
        slab = Slab(reserve(incarnation, SIZE))
        Cell(slab, families.FAILED_BATCHES, LABELS).add(2)
        Histogram(slab, families.BATCH_IMAGES, LABELS).observe(4)
        Cell(slab, families.QUEUE_DEPTH, (*LABELS, "gateway-0")).set(7)
        account.take(report("mnist-int8-0", incarnation, slab, 1.5))
        account.take(report("mnist-int8-0", incarnation, slab, 1.5))
        clock += reports.LOST_SECONDS + 1
        assert account.models == []
    account.take(report("mnist-int8-0", "third", Slab(reserve("third", SIZE)), 0.5))
    values = add_slabs({}, account.slabs)
    assert values[families.FAILED_BATCHES.name] == {LABELS: [4.0]}
    assert sum(values[families.BATCH_IMAGES.name][LABELS]) == 2 + 2 * 4
    assert families.QUEUE_DEPTH.name not in values
    assert account.spent == {("mnist", "int8"): 3.0}
    assert (account.restarts("mnist-int8-0"), len(account.models)) == (2, 1)
