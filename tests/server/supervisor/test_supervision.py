"""Any process may die: the others serve on, it comes back, and no count is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server_process import ServerProcess, failures, request, wait_until
from support.tiny_model import classes_of, items
from twinserve.v1 import admin_pb2
from twinserve_client import Client

Serve = Callable[..., ServerProcess]


def test_a_dead_model_process_comes_back_and_fails_only_the_batch_it_held(odd_models: Path, serve: Serve) -> None:
    flags = ("--variants", "slow,fp32", "--replicas", "slow=2", "--max-batch-size", "1", "--gateways", "1")
    server = serve(odd_models, *flags, "--hang-seconds", "0")
    pixels = items(1)
    # Both stand still until all requests are there; what waits is for the one that lives, however long a restart takes.
    first, second = (
        next(process.pid for process in server.processes() if process.name == name)
        for name in ("tiny-slow-0", "tiny-slow-1")
    )
    for pid in (first, second):
        os.kill(pid, signal.SIGSTOP)
    slow = [server.predict.Predict.future(request(pixels, variant="slow"), timeout=120) for _ in range(8)]
    held = ("twinserve_queue_depth_images", "twinserve_in_flight_images")
    wait_until(lambda: sum(server.metric(name, variant="slow") for name in held) == 8, 60, server.log)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGCONT)
    # The other variant does not notice.
    for _ in range(20):
        server.predict.Predict(request(pixels, variant="fp32"), timeout=60)
    outcomes = Counter(call.exception() is None for call in slow)
    # The batch it held, and at most what was on its way to it when it died.
    assert outcomes[True] >= 5
    assert outcomes[False] >= 1
    for error in failures(slow):
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "its model process ended while it ran this request; try again" in error.details()
    server.wait_restarted("tiny-slow-0")
    server.predict.Predict(request(pixels, variant="slow"), timeout=60)


def test_the_sdk_tries_again_what_a_dying_model_process_held(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "slow", "--replicas", "slow=1", "--max-batch-size", "1", "--gateways", "1")
    pixels = items(1)
    with Client(server.target, timeout=60) as client, ThreadPoolExecutor(4) as callers:
        answers = [callers.submit(client.predict, pixels) for _ in range(8)]
        answers[0].result()
        server.kill("tiny-slow-0")
        assert [answer.result().classes.tolist() for answer in answers] == [classes_of(pixels).tolist()] * 8


def test_a_variant_without_traffic_takes_nobody_down(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "1")
    health = health_pb2_grpc.HealthStub(server.channel)

    def serves(service: str) -> bool:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def kill_until(service: str, *, serving: bool) -> None:
        server.kill("tiny-int8-0")
        wait_until(lambda: serves(service) is serving, 10)

    kill_until("tiny/int8", serving=False)
    assert serves("")
    server.wait_restarted("tiny-int8-0")
    server.admin.SetTraffic(
        admin_pb2.SetTrafficRequest(traffic=admin_pb2.Traffic(weights={"fp32": 1, "int8": 1})), timeout=10
    )
    kill_until("", serving=False)
    wait_until(lambda: serves(""), 30)


def test_a_dead_gateway_comes_back_and_the_other_serves_on(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "2")
    pixels = items(1)
    server.kill("gateway-0")
    answered = 0
    for _ in range(40):
        with server.connect() as channel:
            call: Any = channel.unary_unary("/twinserve.v1.PredictService/Predict")
            call(request(pixels).SerializeToString(), timeout=5, wait_for_ready=True)
            answered += 1
    assert answered == 40
    server.wait_restarted("gateway-0")


def test_counters_never_fall_and_count_every_answer_through_restarts(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "2")
    pixels = items(1)
    answered, stop, seen = Counter[str](), threading.Event(), list[float]()

    def ask(variant: str) -> None:
        while not stop.is_set():
            with server.connect() as channel:
                call: Any = channel.unary_unary("/twinserve.v1.PredictService/Predict")
                for _ in range(20):
                    try:
                        call(request(pixels, variant=variant).SerializeToString(), timeout=60)
                        answered[variant] += 1
                    except grpc.RpcError as error:
                        answered[error.code().name] += 1

    threads = [threading.Thread(target=ask, args=(variant,)) for variant in ("fp32", "int8")]
    for thread in threads:
        thread.start()
    for victim in ("gateway-0", "tiny-int8-0", "gateway-1"):
        wanted = answered["int8"] + 50
        wait_until(lambda wanted=wanted: answered["int8"] >= wanted, 30)
        seen.append(server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code="OK"))
        server.kill(victim)
        server.wait_restarted(victim)
        seen.append(server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code="OK"))
    stop.set()
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    counted = {
        variant: server.metric("twinserve_requests_total", variant=variant, code="OK") for variant in ("fp32", "int8")
    }
    # Each kill of a gateway can lose the answer of a request that was counted but not yet sent: one a client.
    for variant, count in counted.items():
        assert answered[variant] <= count <= answered[variant] + 2
    assert server.metric("twinserve_process_restarts_total") == 3
    assert set(answered) <= {"fp32", "int8", "UNAVAILABLE"}


def test_replicas_share_the_work(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "slow", "--replicas", "slow=2", "--max-batch-size", "1", "--gateways", "1")
    pixels = items(1)
    calls = [server.predict.Predict.future(request(pixels), timeout=60) for _ in range(20)]
    assert all(list(call.result().classes) == classes_of(pixels).tolist() for call in calls)
    spent = {process.name: process.cpu_seconds for process in server.processes() if process.role == "model"}
    assert set(spent) == {"tiny-slow-0", "tiny-slow-1"}
    server.kill("tiny-slow-0")
    # One batch may have been on its way to the dead replica; from then on the other one answers.
    calls = [server.predict.Predict.future(request(pixels), timeout=20) for _ in range(6)]
    assert sum(call.exception() is None for call in calls) >= 5


def test_a_hung_model_process_does_not_hang_the_gateway(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--gateways", "1", "--hang-seconds", "0")
    pid = next(process.pid for process in server.processes() if process.name == "tiny-int8-0")
    os.kill(pid, signal.SIGSTOP)
    try:
        large = items(1024)
        stuck = [server.predict.Predict.future(request(large, variant="int8"), timeout=1) for _ in range(3)]
        for _ in range(20):
            server.predict.Predict(request(items(1), variant="fp32"), timeout=5)
        assert [error.code() for error in failures(stuck)] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 3
    finally:
        os.kill(pid, signal.SIGCONT)
    # As long as those who gave up still count as waiting, a new request may be told that its deadline cannot be met.
    wait_until(lambda: server.metric("twinserve_queue_depth_images", variant="int8") == 0, 60, server.log)
    assert len(server.predict.Predict(request(large, variant="int8"), timeout=60).classes) == 1024


@pytest.fixture(scope="module")
def watched(odd_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that soon takes silence for a hang."""
    flags = ("--variants", "slow,fp32", "--max-batch-size", "1", "--hang-seconds", "2", "--gateways", "2")
    with ServerProcess(odd_models, tmp_path_factory.mktemp("watched"), *flags) as server:
        yield server


class TestHungProcesses:
    """A process that is stopped answers nobody; it is replaced, and its callers can try again."""

    def test_a_model_process_is_replaced_and_counted(self, watched: ServerProcess) -> None:
        pid = watched.stop_process("tiny-slow-0")
        stuck = [watched.predict.Predict.future(request(items(1), variant="slow"), timeout=60) for _ in range(3)]
        for _ in range(20):
            watched.predict.Predict(request(items(1), variant="fp32"), timeout=30)
        watched.wait_restarted("tiny-slow-0")
        assert not Path(f"/proc/{pid}").exists()
        assert {error.code() for error in failures(stuck)} <= {grpc.StatusCode.UNAVAILABLE}
        assert watched.predict.Predict(request(items(1), variant="slow"), timeout=60).classes
        assert watched.metric("twinserve_process_restarts_total", process="tiny-slow-0", reason="hung") == 1
        assert watched.metric("twinserve_process_restarts_total", process="tiny-slow-0", reason="ended") == 0
        assert "exit_code=-9 process=tiny-slow-0 reason=hung" in watched.log()

    def test_a_gateway_is_replaced_and_the_sdk_sees_nothing(self, watched: ServerProcess) -> None:
        with Client(watched.target, timeout=60) as client:
            client.predict(items(1), variant="fp32")
            for number in (0, 1):
                watched.stop_process(f"gateway-{number}")
                assert client.predict(items(1), variant="fp32").classes.tolist() == classes_of(items(1)).tolist()
                watched.wait_restarted(f"gateway-{number}")
                reason = {"process": f"gateway-{number}", "reason": "hung"}
                assert watched.metric("twinserve_process_restarts_total", **reason) == 1


@pytest.mark.parametrize("flag", [["--pin", "int8=0"], []])
def test_pinning_is_what_the_kernel_enforces(tiny_models: Path, serve: Serve, flag: list[str]) -> None:
    server = serve(tiny_models, *flag)
    pid = next(process.pid for process in server.processes() if process.name == "tiny-int8-0")
    assert os.sched_getaffinity(pid) == ({0} if flag else os.sched_getaffinity(0))


def test_a_manifest_may_be_larger_than_an_environment_variable(tiny_models: Path, tmp_path: Path, serve: Serve) -> None:
    """Linux takes 128 KiB for one; thousands of labels are more."""
    models = tmp_path / "models"
    shutil.copytree(tiny_models, models)
    manifest = models / "tiny" / "1" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["description"] = "long" * 50_000
    manifest.write_text(json.dumps(values))
    server = serve(models, "--gateways", "1")
    assert server.predict.Predict(request(items(1)), timeout=10).classes


def test_what_processes_share_lies_in_no_folder_that_could_fill_up_or_be_emptied(
    tiny_models: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("a folder whose name is longer than the address of a socket may be " * 2)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    server = serve(tiny_models, "--gateways", "1")
    for _ in range(3):
        server.predict.Predict(request(items(1), variant="int8"), timeout=10)
    for process in ("gateway-0", "tiny-int8-0"):
        server.kill(process)
        server.wait_restarted(process)
    server.predict.Predict(request(items(1), variant="int8"), timeout=10, wait_for_ready=True)
    assert server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code="OK") == 4
    assert list(folder.iterdir()) == []
