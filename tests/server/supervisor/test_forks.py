"""Model processes are forked from one that has imported what they need; each is the supervisor's own child."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from support.processes import children_running
from support.server_process import READY_SECONDS, ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve_server.artefact.repository import load_repository
from twinserve_server.host.memory import resident_bytes
from twinserve_server.supervisor.plan import Replica

FORK_SERVER = "twinserve_server.model.fork_server"


FLAGS = ("--replicas", "fp32=2,int8=1", "--gateways", "1")


@pytest.fixture
def server(tiny_models: Path, serve: Callable[..., ServerProcess]) -> ServerProcess:
    return serve(tiny_models, *FLAGS)


def model_pids(server: ServerProcess) -> dict[str, int]:
    return {process.name: process.pid for process in server.processes() if process.variant}


def fork_server(server: ServerProcess) -> int:
    models = set(model_pids(server).values())
    (found,) = (
        process.pid
        for process in children_running(psutil.Process(server.process.pid), FORK_SERVER)
        if process.pid not in models
    )
    return found


def test_a_replica_shares_most_of_its_memory_and_little_else(server: ServerProcess) -> None:
    forks = fork_server(server)
    assert len(os.listdir(f"/proc/{forks}/task")) == 1, "a fork copies no other thread"
    line = os.readlink(f"/proc/{forks}/fd/0")
    for name, pid in model_pids(server).items():
        process, resident = psutil.Process(pid), resident_bytes(pid)
        assert resident.pss < resident.rss / 2
        assert (process.ppid(), process.name()) == (server.process.pid, name[:15])
        assert line not in [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_the_fork_server_models_answer_and_are_replaced(server: ServerProcess, number: int) -> None:
    first, models = fork_server(server), model_pids(server)
    os.kill(first, number)
    server.predict.Predict(request(items(1)), timeout=60)
    for pid in models.values():
        os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        return all(process.ready and process.pid != models.get(process.name) for process in server.processes())

    wait_until(replaced, READY_SECONDS, server.log)
    assert fork_server(server) != first
    assert "fork_server_replaced" in server.log()


def test_what_a_lost_fork_server_held_is_not_counted_any_longer(server: ServerProcess) -> None:
    def held() -> float:
        return server.metric("twinserve_supervisor_resident_bytes", kind="rss")

    wait_until(lambda: held() > resident_bytes(fork_server(server)).rss, 60, server.log)
    lost = resident_bytes(fork_server(server)).rss
    before = held()
    os.kill(fork_server(server), signal.SIGKILL)
    wait_until(lambda: held() < before - lost / 2, 60, server.log)


def test_the_log_says_how_a_forked_process_ended(server: ServerProcess) -> None:
    name, pid = next(iter(model_pids(server).items()))
    os.kill(pid, signal.SIGABRT)
    server.wait_restarted(name)
    assert f"exit_code={-signal.SIGABRT}" in server.log()


def test_with_the_supervisor_gone_nothing_is_left(server: ServerProcess) -> None:
    left = psutil.Process(server.process.pid).children(recursive=True)
    assert fork_server(server) in [process.pid for process in left]
    server.process.kill()
    wait_until(lambda: not any(process.is_running() for process in left), 60)
    assert server.process.wait(60) == -signal.SIGKILL


def test_what_runs_on_a_gpu_is_not_forked(tiny_models: Path) -> None:
    (version,) = load_repository(tiny_models).values()
    variant = version.variants["fp32"]
    on_gpu = replace(version, variants={"fp32": replace(variant, device="cuda:0")})
    assert Replica("tiny-fp32-0", version, "fp32", 0).forked
    assert not Replica("tiny-fp32-0", on_gpu, "fp32", 0).forked
