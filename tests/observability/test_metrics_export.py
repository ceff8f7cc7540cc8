"""What is pushed as OTLP is what /metrics holds, RPCs under OpenTelemetry's names; the last export has everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from observability.collector import Collector
from support.server_process import ServerProcess, wait_until
from support.tiny_model import items
from twinserve_client import Client, NotFoundError
from twinserve_server.metrics.families import RPC_SECONDS

PREDICT = {("rpc.system.name", "grpc"), ("rpc.method", "twinserve.v1.PredictService/Predict")}
VARIANT = {("model", "tiny"), ("version", "1"), ("variant", "int8")}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
        yield collector


@pytest.mark.parametrize("profile", ["isolated", "edge"])
def test_what_is_pushed_is_what_is_scraped(
    twin_models: Path, tmp_path: Path, collector: Collector, profile: str
) -> None:
    flags = ("--profile", profile, "--metrics-export", "otlp")
    with ServerProcess(twin_models, tmp_path, *flags) as server, Client(server.target) as client:
        for _ in range(3):
            client.predict(items(2), variant="int8")
        with suppress(NotFoundError):
            client.predict(items(1), variant="other")

        def pushed(name: str, labels: set[tuple[str, str]]) -> float:
            point = collector.points(name).get(frozenset(labels))
            return 0 if point is None else point.as_double or point.as_int

        def timed() -> int:
            point = collector.points("rpc.server.call.duration").get(frozenset(PREDICT))
            return 0 if point is None else int(point.count)

        wait_until(lambda: timed() == 4, 30, server.log)
        assert pushed("grpc_server_handled", {*PREDICT, ("rpc.response.status_code", "OK")}) == 3
        assert pushed("grpc_server_handled", {*PREDICT, ("rpc.response.status_code", "NOT_FOUND")}) == 1
        assert pushed("twinserve_images", VARIANT) == server.metric("twinserve_images_total", variant="int8") == 6
        point = collector.points("rpc.server.call.duration")[frozenset(PREDICT)]
        assert tuple(point.explicit_bounds) == RPC_SECONDS.buckets
        assert point.sum == server.metric("grpc_server_handling_seconds_sum", grpc_method="Predict")
        assert collector.metrics["rpc.server.call.duration"].unit == "s"
        assert collector.points("twinserve_model_info")
        told = collector.resources[0]
        assert told["service.name"] == "twinserve"
        assert told["service.instance.id"].endswith(f":{server.grpc_port}")
        client.predict(items(1), variant="int8")
    assert pushed("twinserve_images", VARIANT) == 7


def test_a_collector_that_is_gone_keeps_no_server_from_working_or_ending(
    twin_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    server = ServerProcess(twin_models, tmp_path, "--profile", "edge", "--metrics-export", "otlp")
    with server, Client(server.target) as client:
        client.predict(items(1))
        wait_until(lambda: "127.0.0.1" in server.log() and "port=1" in server.log(), 60, server.log)
        client.predict(items(1))
    assert server.process.returncode == 0
