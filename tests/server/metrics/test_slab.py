"""The values of the metrics outlive the process that writes them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Histogram
from twinserve_server.metrics.exposition import ServerCollector
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.shared_memory import SharedMemoryError, reserve
from twinserve_server.metrics.slab import CELLS, SIZE, Slab
from twinserve_server.metrics.tallies import VariantTally

RPC = ("unary", "service", "Method")

WRITER = """
import sys
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell
from twinserve_server.metrics.slab import Slab
cell = Cell(Slab(int(sys.argv[1])), families.RPC_STARTED, ("unary", "service", "Method"))
for _ in range(1000):
    cell.add()
print("written", flush=True)
sys.stdin.read()
"""


def new_slab() -> Slab:
    return Slab(reserve("slab", SIZE))


def exposed(*slabs: Slab) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(ServerCollector(lambda: slabs, dict))
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(values: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str) -> float:
    return sum(value for (found, _), value in values.items() if found == name)


def test_workers_add_up() -> None:
    slabs = [new_slab(), new_slab()]
    for number, slab in enumerate(slabs, start=1):
        Cell(slab, families.RPC_STARTED, RPC).add(number)
    assert total(exposed(*slabs), "grpc_server_started_total") == 3


def test_histograms_add_up_and_are_cumulative() -> None:
    slabs = [new_slab(), new_slab()]
    for slab in slabs:
        histogram = Histogram(slab, families.RPC_SECONDS, RPC)
        for value in (20e-6, 60e-6, 99.0):
            histogram.observe(value)
    values = exposed(*slabs)
    by_bound = {dict(labels)["le"]: value for (name, labels), value in values.items() if name.endswith("_bucket")}
    assert (by_bound["5e-05"], by_bound["7e-05"], by_bound["5.0"], by_bound["+Inf"]) == (2, 4, 4, 6)
    assert total(values, "grpc_server_handling_seconds_count") == 6
    assert total(values, "grpc_server_handling_seconds_sum") == pytest.approx(2 * (99.0 + 80e-6))


def test_a_value_on_a_bound_belongs_to_that_bucket() -> None:
    slab = new_slab()
    Histogram(slab, families.BATCH_IMAGES, ("m", "1", "v")).observe(64.0)
    by_bound = {
        dict(labels)["le"]: value for (name, labels), value in exposed(slab).items() if name.endswith("_bucket")
    }
    assert (by_bound["32.0"], by_bound["64.0"]) == (0, 1)


def test_a_killed_worker_loses_nothing_and_its_successor_goes_on() -> None:
    descriptor = reserve("worker", SIZE)
    reader = Slab(descriptor)
    for round_number in (1, 2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(descriptor)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"written\n"
            os.kill(worker.pid, signal.SIGKILL)
        assert total(exposed(reader), "grpc_server_started_total") == 1000 * round_number


def test_a_label_whose_values_never_end_is_refused() -> None:
    slab = new_slab()
    family = Family("endless", "histogram", "", ("id",), tuple(map(float, range(CELLS // 4))))
    for number in range(3):
        slab.allocate(family.name, (str(number),), family.cells)
    with pytest.raises(MemoryError, match="no room for another series of endless"):
        slab.allocate(family.name, ("one too many",), family.cells)


def test_three_variants_of_thousands_of_classes_fit_and_count() -> None:
    slab = new_slab()
    labels = [f"a class with a longer name, {number}" for number in range(3000)]
    for variant in ("fp32", "int8", "int8-dynamic"):
        tally = tally_of(slab, variant, labels)
        for classes in ([2999], [0, 1, 2999]):
            tally.answered([answered_call(variant, classes)])
    values = exposed(slab)
    assert total(values, "twinserve_requests_total") == 6
    assert total(values, "twinserve_request_duration_seconds_count") == 6
    # By class there is nothing to see: thousands of series a variant, or one that lumps most classes together.
    assert not [name for name, _ in values if name == "twinserve_predictions_total"]


def test_up_to_256_classes_each_one_is_counted() -> None:
    slab = new_slab()
    tally = tally_of(slab, "fp32", [f"a class with a longer name, {number}" for number in range(256)])
    tally.answered([answered_call("fp32", [255])])
    tally.answered([answered_call("fp32", [0, 255, 255])])
    by_class = {
        dict(labels)["class"].rpartition(" ")[2]: value
        for (name, labels), value in exposed(slab).items()
        if name == "twinserve_predictions_total"
    }
    assert len(by_class) == 256
    assert (by_class["0"], by_class["1"], by_class["255"]) == (1, 0, 3)


def test_many_variants_of_many_classes_fit() -> None:
    slab = new_slab()
    for number in range(16):
        tally_of(slab, f"variant-{number}", [f"{index}: a label of some length" for index in range(256)])


def tally_of(slab: Slab, variant: str, labels: list[str]) -> VariantTally:
    return VariantTally(partial(Cell, slab), partial(Histogram, slab), ("many", "1", variant), labels)


def answered_call(variant: str, classes: list[int]) -> Call:
    """A call as an observer sees it when it is answered; nothing else of it matters here."""
    served: Any = None
    call = Call(served, variant, "named", "request")
    call.total_ns = 1000
    call.job = Job(b"", "UINT8", len(classes), lambda job: None)
    call.job.classes = np.array(classes, np.uint32).tobytes()
    return call


def test_names_follow_prometheus_rules() -> None:
    for family in families.FAMILIES:
        assert family.help.endswith("."), family.name
        assert not family.name.endswith(("_total", "_info", "_bucket", "_count", "_sum")), family.name
        if family.kind == "histogram":
            assert list(family.buckets) == sorted(set(family.buckets)), family.name
            assert family.name.endswith(("_seconds", "_images", "_difference")), family.name
        if family.kind == "gauge":
            units = (
                "_seconds",
                "_bytes",
                "_images",
                "_requests",
                "_ready",
                "_weight",
                "_generation",
                "_successful",
                "_ratio",
                "_watts",
            )
            assert family.name.endswith(units), family.name


def test_elsewhere_a_file_without_a_name_has_all_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    descriptor = reserve("slab", SIZE)
    found = os.fstat(descriptor)
    assert (found.st_size, found.st_nlink) == (SIZE, 0)
    assert found.st_blocks * 512 >= SIZE
    Cell(Slab(descriptor), families.RPC_STARTED, RPC).add()
    assert total(exposed(Slab(descriptor)), "grpc_server_started_total") == 1


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(SharedMemoryError, match=rf"{tempfile.gettempdir()}: no room .*No space left .*TMPDIR"):
        reserve("slab", SIZE)
