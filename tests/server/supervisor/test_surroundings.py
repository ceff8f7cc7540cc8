"""What lies around a server does it no harm: files, paths, streams, warnings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from support.server_process import READY_SECONDS, request, wait_until
from support.tiny_model import items
from twinserve.v1 import predict_pb2_grpc

TWINSERVE = str(Path(sys.executable).with_name("twinserve"))
#: Modules that Python's own modules import: a file of that name in the way ends whoever finds it.
TRAP = "raise SystemExit('imported from the working directory')\n"


@dataclass
class Surrounded:
    """A server in a folder full of traps, below a long path, with a closed standard error and warnings as errors."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    temporary: Path

    @property
    def port(self) -> int:
        return int(json.loads(self.ready_file.read_text())["grpc_port"])


@pytest.fixture(scope="module")
def surrounded(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surrounded]:
    folder = tmp_path_factory.mktemp("surroundings")
    for name in ("random.py", "socket.py", "torch.py", "grpc.py", "twinserve_server.py"):
        (folder / name).write_text(TRAP)
    # A Unix socket's path has 108 characters at most.
    temporary = folder / ("long" * 30)
    temporary.mkdir()
    ready_file = folder / "ready.json"
    flags = f"--models {tiny_models} --port 0 --metrics-port 0 --gateways 1 --ready-file {ready_file}"
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {TWINSERVE} serve {flags} 2>&-"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONWARNINGS": "error"},
    )
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None, 60)
        yield Surrounded(process, ready_file, temporary)
    finally:
        process.kill()
        process.wait()


class TestSurroundings:
    def test_a_server_starts_and_answers(self, surrounded: Surrounded) -> None:
        assert surrounded.process.poll() is None
        with grpc.insecure_channel(f"127.0.0.1:{surrounded.port}") as channel:
            answer = predict_pb2_grpc.PredictServiceStub(channel).Predict(request(items(1)), timeout=30)
        assert answer.classes

    def test_sighup_drains_and_leaves_nothing(self, surrounded: Surrounded) -> None:
        surrounded.process.send_signal(signal.SIGHUP)
        assert surrounded.process.wait(60) == 0
        assert not surrounded.ready_file.exists()
        assert list(surrounded.temporary.iterdir()) == []


@pytest.mark.namespaces
def test_it_needs_no_place_to_write_no_shared_memory_and_no_privilege(tiny_models: Path, tmp_path: Path) -> None:
    confine = (
        f"set -e; umask 077; mount -o bind {tmp_path} {tmp_path}; mount -o remount,ro,bind / /; "
        "mount -t tmpfs -o ro none /dev/shm; "
        'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'
    )
    ready_file = tmp_path / "ready.json"
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", confine, "sh", TWINSERVE, "serve", "--models", str(tiny_models),
         "--port", "0", "--metrics-port", "0", "--ready-file", str(ready_file)],
        env={**os.environ, "TMPDIR": "/proc"},
    )  # fmt: skip
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None, READY_SECONDS)
        assert process.poll() is None
        with grpc.insecure_channel(f"127.0.0.1:{json.loads(ready_file.read_text())['grpc_port']}") as channel:
            assert predict_pb2_grpc.PredictServiceStub(channel).Predict(request(items(1)), timeout=30).classes
        assert ready_file.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
