"""The tables of the benchmark say of each process what it took."""

from __future__ import annotations

from twinserve_bench.table import cpu_table, memory_table


def test_the_cpu_of_a_request_is_told_by_process_and_in_all() -> None:
    table = cpu_table({"fast": {"gateway": [100, 140, 120], "model": [80, 90, 70]}, "edge": {"edge": [150]}})
    assert table.splitlines()[0] == "| CPU µs a request | edge | gateway | model | sum |"
    assert "| fast |  | 120 (100 to 140) | 80 (70 to 90) | 200 |" in table
    assert "| edge | 150 (150 to 150) |  |  | 150 |" in table


def test_idle_memory_is_told_by_profile_shared_pages_counted_once_and_each_time() -> None:
    table = memory_table({"default": {"gateway [7]": (20, 60), "model [8]": (180, 290)}})
    assert "| default | 200 | 350 | gateway [7] 20, model [8] 180 |" in table
