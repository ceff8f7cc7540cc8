"""A server whose log nobody reads serves, restarts what dies, says what it lost, and ends as it should."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess, request
from support.tiny_model import items

#: Every request is slow, so each may write a line.
FLAGS = ("--gateways", "1", "--slow-request-ms", "0.001", "--log-level", "debug")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of the smallest pipe there is."""
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(writing)


def answers(server: ServerProcess, count: int) -> None:
    for _ in range(count):
        assert server.predict.Predict(request(items(1), variant="int8"), timeout=20, wait_for_ready=True).classes


def test_nobody_there(tiny_models: Path, tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    with ServerProcess(tiny_models, tmp_path, *FLAGS, stderr=writing) as server:
        answers(server, 30)
        server.kill("tiny-int8-0")
        server.wait_restarted("tiny-int8-0")
        answers(server, 1)
        assert server.metric("twinserve_log_lines_lost_total", process="supervisor") > 30
        assert server.stop() == 0


def test_somebody_who_does_not_read(tiny_models: Path, tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with ServerProcess(tiny_models, tmp_path, *FLAGS, stderr=writing) as server:
        answers(server, 2000)
        server.kill("gateway-0")
        server.wait_restarted("gateway-0")
        answers(server, 1)
        assert server.metric("twinserve_log_lines_lost_total", process="supervisor") > 0
        assert server.stop() == 0
    os.close(reading)
