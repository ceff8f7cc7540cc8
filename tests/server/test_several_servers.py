"""Two servers that share a traffic file agree on it, and on who answers a routing key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve.v1 import admin_pb2

KEYS = [f"user-{number}" for number in range(1000)]


def write(path: Path, generation: int, weights: dict[str, float]) -> None:
    """Replace the file at once, as a ConfigMap is."""
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps({"generation": generation, "models": {"tiny": {"weights": weights}}}))
    partial.replace(path)


def policy(server: ServerProcess) -> admin_pb2.Traffic:
    return server.admin.GetTraffic(admin_pb2.GetTrafficRequest(), timeout=30).traffic


def variants(server: ServerProcess) -> list[str]:
    calls = [server.predict.Predict.future(request(items(1), routing_key=key), timeout=60) for key in KEYS]
    return [call.result().served_by.variant for call in calls]


@pytest.fixture(scope="module")
def traffic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traffic") / "traffic.json"
    write(path, 1, {"fp32": 0.7, "int8": 0.3})
    return path


@pytest.fixture(scope="module")
def pair(
    tiny_models: Path, traffic_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    flags = ("--traffic", str(traffic_file), "--gateways", "1")
    with (
        ServerProcess(tiny_models, tmp_path_factory.mktemp("one"), *flags) as one,
        ServerProcess(tiny_models, tmp_path_factory.mktemp("two"), *flags) as two,
    ):
        yield one, two


def test_a_key_meets_the_same_variant_on_both(pair: tuple[ServerProcess, ServerProcess]) -> None:
    one, two = map(variants, pair)
    assert one == two
    assert 200 < one.count("int8") < 400


def test_a_changed_file_is_followed_by_both(pair: tuple[ServerProcess, ServerProcess], traffic_file: Path) -> None:
    write(traffic_file, 7, {"int8": 1.0})
    wait_until(lambda: all(policy(server).generation == 7 for server in pair), 60)
    for server in pair:
        assert set(variants(server)) == {"int8"}
        assert server.metric("twinserve_traffic_weight", variant="int8") == 1.0
        assert server.metric("twinserve_traffic_file_generation") == 7


def test_a_bad_file_keeps_the_policy_and_says_so_in_log_and_metric(
    pair: tuple[ServerProcess, ServerProcess], traffic_file: Path
) -> None:
    good = traffic_file.read_text()
    write(traffic_file, 8, {"int4": 1.0})
    for server in pair:
        wait_until(lambda it=server: it.metric("twinserve_traffic_file_last_read_successful") == 0, 60)
        assert dict(policy(server).weights) == json.loads(good)["models"]["tiny"]["weights"]
        wait_until(lambda it=server: "traffic_file_not_read" in it.log(), 30)
        assert "no such variant; served are: fp32, int8" in server.log()
    traffic_file.write_text(good)
    for server in pair:
        wait_until(lambda it=server: it.metric("twinserve_traffic_file_last_read_successful") == 1, 60)


def test_a_call_does_not_change_what_a_file_says(pair: tuple[ServerProcess, ServerProcess], traffic_file: Path) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        pair[0].admin.SetTraffic(
            admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={"fp32": 1.0})), timeout=30
        )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"this server follows {traffic_file}" in (caught.value.details() or "")
