"""A service of ``Type=notify``: what systemd is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import READY_SECONDS

Manager = tuple[socket.socket, str]


@pytest.fixture(params=["abstract", "path"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A socket as systemd's, and what ``NOTIFY_SOCKET`` says of it."""
    name = f"twinserve-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name if request.param == "abstract" else name)
        sock.settimeout(READY_SECONDS)
        yield sock, "@" + name if request.param == "abstract" else name


def start(models: Path, address: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "twinserve_server", "--models", str(models), "--port", "0", "--metrics-port", "0"],
        env={**os.environ, "NOTIFY_SOCKET": address, **environment},
    )


def test_ready_alive_and_stopping_are_told(tiny_models: Path, manager: Manager) -> None:
    sock, address = manager
    server = start(tiny_models, address, WATCHDOG_USEC="500000")
    try:
        told: list[str] = []
        while "READY=1" not in told:
            told += sock.recv(4096).decode().splitlines()
        assert told[-1].startswith("STATUS=serving on port ")
        assert "WATCHDOG=1" in told
        server.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in told:
            told += sock.recv(4096).decode().splitlines()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def test_a_watchdog_of_another_process_is_not_fed(tiny_models: Path, manager: Manager) -> None:
    sock, address = manager
    server = start(tiny_models, address, WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    try:
        assert sock.recv(4096).startswith(b"READY=1\n")
    finally:
        server.kill()
        server.wait()


def test_a_manager_that_is_gone_does_not_keep_a_server_from_serving(tiny_models: Path, tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    server = subprocess.Popen(
        [sys.executable, "-m", "twinserve_server", "--models", str(tiny_models), "--port", "0", "--metrics-port", "0",
         "--ready-file", str(ready_file)],
        env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "nobody")},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert server.stderr is not None
    try:
        assert any("service_manager_not_told" in line for line in server.stderr)
        server.send_signal(signal.SIGTERM)
        server.stderr.read()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
