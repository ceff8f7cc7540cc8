"""What an end answers, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server_process import TRANSPORTS, ServerProcess, failures, request, wait_until
from support.tiny_model import classes_of, items

Serve = Callable[..., ServerProcess]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sigterm_answers_what_was_accepted_says_not_serving_and_exits_0(
    odd_models: Path, serve: Serve, transport: str
) -> None:
    server = serve(odd_models, "--transport", transport, "--variants", "slow", "--replicas", "slow=1")
    pixels = items(1)
    answers = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(20)]
    answers[0].result()
    health = health_pb2_grpc.HealthStub(server.channel)
    states, other = (health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2))
    assert next(states).status == next(other).status == health_pb2.HealthCheckResponse.SERVING
    other.cancel()
    server.process.send_signal(signal.SIGTERM)
    seen: list[int] = []

    def watch() -> None:
        try:
            seen.extend(state.status for state in states)
        except grpc.RpcError:
            return

    watcher = threading.Thread(target=watch)
    watcher.start()
    for answer in answers:
        assert list(answer.result().classes) == classes_of(pixels).tolist()
    assert server.process.wait(30) == 0
    watcher.join(10)
    assert seen == [health_pb2.HealthCheckResponse.NOT_SERVING]
    # It ended by itself: who watches does not keep a server from ending.
    assert states.code() is grpc.StatusCode.OK
    assert not server.ready_file.exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_signal_to_the_whole_group_drains_like_one_to_the_supervisor(
    odd_models: Path, serve: Serve, transport: str
) -> None:
    """`timeout`, a terminal and service managers signal every process at once."""
    server = serve(odd_models, "--transport", transport, "--variants", "slow", "--max-batch-size", "1")
    pids = [process.pid for process in server.processes()]
    pixels = items(1)
    answers = [server.predict.Predict.future(request(pixels), timeout=60) for _ in range(20)]
    answers[0].result()
    for pid in (*pids, server.process.pid, *pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for answer in answers:
        assert list(answer.result().classes) == classes_of(pixels).tolist()
    assert server.process.wait(60) == 0
    assert "process_ended" not in server.log()


def test_a_second_ctrl_c_does_not_wait_for_the_drain(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "slow", "--max-batch-size", "1", "--grace", "600")
    answers = [server.predict.Predict.future(request(items(1)), timeout=600) for _ in range(400)]
    answers[0].result()
    server.process.send_signal(signal.SIGINT)
    wait_until(lambda: "draining" in server.log(), 30, server.log)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 130
    assert {error.code() for error in failures(answers)} == {grpc.StatusCode.UNAVAILABLE}


def test_nothing_is_left_running_after_a_stop(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models)
    pids = [process.pid for process in server.processes()]
    assert len(pids) >= 3
    assert server.stop() == 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)


def test_a_supervisor_that_is_killed_leaves_nothing_and_the_next_one_serves_in_its_place(
    tiny_models: Path, serve: Serve
) -> None:
    server = serve(tiny_models)
    pids = [process.pid for process in server.processes()]
    server.process.kill()
    server.process.wait(10)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)
    # On the same ports.
    ports = ("--port", str(server.grpc_port), "--metrics-port", str(server.metrics_port))
    again = serve(tiny_models, *ports)
    assert list(again.predict.Predict(request(items(2)), timeout=30).classes) == classes_of(items(2)).tolist()
