"""The edge profile: one process that behaves like a server of many. What a caller sees is in ``test_conformance``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve.v1 import admin_pb2
from twinserve_server.host.memory import resident_bytes


@pytest.fixture(scope="module")
def server(odd_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flags = ("--profile", "edge", "--variants", "fp32,slow", "--batch-seconds", "60")
    with ServerProcess(odd_models, tmp_path_factory.mktemp("server"), *flags) as process:
        yield process


def test_gateway_and_models_are_the_process_that_was_started(server: ServerProcess) -> None:
    processes = server.processes()
    assert {process.pid for process in processes} == {server.process.pid}
    assert [(process.role, process.variant) for process in processes] == [
        ("gateway", ""),
        ("model", "fp32"),
        ("model", "slow"),
    ]
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    assert children == ""


def test_a_warm_up_that_gives_memory_back_is_no_error(tiny_models: Path, tmp_path: Path) -> None:
    # The second of two tiny models uses what the first one left.
    with ServerProcess(tiny_models, tmp_path / "s", "--profile", "edge") as server:
        assert len(server.processes()) == 3


def test_the_memory_of_a_model_is_what_loading_it_added(server: ServerProcess) -> None:
    for variant in ("fp32", "slow"):
        added = server.metric("twinserve_model_added_bytes", variant=variant, stage="warm_up")
        assert server.metric("twinserve_model_resident_bytes", variant=variant, kind="added") == added
        assert server.metric("twinserve_model_resident_bytes", variant=variant, kind="pss") == max(0, added)


def test_memory_that_is_summed_over_gateway_and_models_is_that_of_the_process(server: ServerProcess) -> None:
    page = server.scrape()
    names = ("twinserve_gateway_resident_bytes", "twinserve_model_resident_bytes")
    total = sum(value for (name, labels), value in page.items() if name in names and dict(labels)["kind"] == "pss")
    assert total == pytest.approx(resident_bytes(server.process.pid).pss, rel=0.2)


def test_requests_are_counted_by_variant_and_by_forward_pass(server: ServerProcess) -> None:
    before = server.metric("twinserve_batch_size_images_count", variant="fp32")
    server.predict.Predict(request(items(3), variant="fp32"), timeout=60)
    assert server.metric("twinserve_batch_size_images_count", variant="fp32") == before + 1
    assert server.metric("twinserve_model_cpu_seconds_total", variant="fp32") > 0


def test_a_new_policy_is_in_force_at_once(server: ServerProcess) -> None:
    traffic = admin_pb2.Traffic(weights={"fp32": 1, "slow": 3})
    answer = server.admin.SetTraffic(admin_pb2.SetTrafficRequest(traffic=traffic), timeout=60).traffic
    assert (dict(answer.weights), answer.generation) == ({"fp32": 1, "slow": 3}, 1)
    assert server.metric("twinserve_traffic_weight", variant="slow") == 0.75


@pytest.mark.parametrize("method", ["ListVersions", "LoadVersion", "ActivateVersion", "UnloadVersion"])
def test_versions_stay_as_they_were_at_the_start(server: ServerProcess, method: str) -> None:
    wanted = getattr(admin_pb2, f"{method}Request")()
    if method != "ListVersions":
        wanted.version = "1"
    with pytest.raises(grpc.RpcError, match="--profile isolated") as refused:
        getattr(server.admin, method)(wanted, timeout=60)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_a_drain_answers_what_was_accepted(odd_models: Path, tmp_path: Path) -> None:
    answered: list[object] = []
    with ServerProcess(odd_models, tmp_path / "s", "--profile", "edge", "--variants", "slow") as server:
        call = server.predict.Predict.future(request(items(1), variant="slow"), timeout=60)
        call.add_done_callback(answered.append)
        wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 1, 60, server.log)
        assert server.stop() == 0
        assert call.result(60).request_id
        assert not server.ready_file.exists()


def test_a_forward_pass_that_takes_too_long_ends_the_process(odd_models: Path, tmp_path: Path) -> None:
    flags = ("--profile", "edge", "--variants", "slow", "--batch-seconds", "0.01", "--max-batch-size", "1")
    with ServerProcess(odd_models, tmp_path / "s", *flags) as server:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                server.predict.Predict.future(request(items(8), variant="slow"), timeout=60)
                stop.wait(0.05)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            assert server.process.wait(120) == 1
        finally:
            stop.set()
            asking.join()
        assert "slow_batch" in server.log()


def test_settings_that_need_several_processes_are_refused_in_one_line(tiny_models: Path) -> None:
    command = [sys.executable, "-m", "twinserve_server", "--models", str(tiny_models), "--profile", "edge"]
    ended = subprocess.run([*command, "--gateways", "2"], capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 2
    assert "--gateways 2 asks for several" in ended.stderr


def test_the_plan_says_that_it_is_one_process_and_why(tiny_models: Path) -> None:
    command = [sys.executable, "-m", "twinserve_server", "--models", str(tiny_models), "--explain-plan"]
    ended = subprocess.run(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert "1 process for gateway and models (edge profile): 1 usable core" in ended.stdout
