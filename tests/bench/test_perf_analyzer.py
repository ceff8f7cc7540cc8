"""Triton's load generator drives the server, and reads its statistics, without knowing what it is."""

from __future__ import annotations

import pytest

from support.server_process import ServerProcess
from twinserve_bench.perf_analyzer import sweep

pytestmark = pytest.mark.perf_analyzer


def test_a_sweep_over_concurrencies_ends_well(server: ServerProcess) -> None:
    rows = sweep(server.target, "tiny_int8", "concurrency", 1, 5, 2, window_ms=300)
    assert [row.asked for row in rows] == [1, 3, 5]
    assert all(row.requests_per_second > 0 for row in rows)
    # Triton's clients get these from ModelStatistics.
    assert all(row.server_infer_us > 0 for row in rows)
    assert server.metric("grpc_server_handled_total", grpc_method="ModelInfer") > 0
    bad = server.metric("grpc_server_handled_total", grpc_method="ModelInfer") - server.metric(
        "grpc_server_handled_total", grpc_method="ModelInfer", grpc_code="OK"
    )
    assert bad == 0


def test_a_sweep_over_request_rates_ends_well(server: ServerProcess) -> None:
    rows = sweep(server.target, "tiny", "request-rate", 20, 60, 20, window_ms=500)
    assert [row.asked for row in rows] == [20, 40, 60]
    assert all(row.requests_per_second > 0 for row in rows)
