"""What a benchmark has measured is shown and kept, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server_process import wait_until
from support.tiny_model import make_tiny_models

#: The no-op server needs no artefact, only images to be sent.
SHORT = ("--only", "noop", "--gateways", "1", "--seconds", "0.5", "--rounds", "100")
SECONDS = 120.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_models(tmp_path_factory.mktemp("models"), model="mnist", runtime="onnx")


def start(models: Path, output: Path, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "twinserve_bench.run", "--models", str(models), "--output", str(output), *SHORT]
    return subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kept(output: Path) -> Iterator[dict[str, Any]]:
    for path in output.glob("bench-*.json"):
        yield json.loads(path.read_bytes())


@pytest.mark.h2load
def test_a_run_that_is_stopped_keeps_the_rounds_before(models: Path, tmp_path: Path) -> None:
    process = start(models, tmp_path)
    wait_until(lambda: any(kept(tmp_path)) or process.poll() is not None, SECONDS)
    process.send_signal(signal.SIGINT)
    shown, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, told
    (found,) = kept(tmp_path)
    done = found["rounds_done"]
    assert 1 <= done < found["rounds"] == 100
    assert len(found["figures"]["noop int8, 64 in flight: images/s"]) >= done
    assert f"{done} of 100 rounds" in shown
    assert "| noop int8, 64 in flight: images/s |" in shown
    assert "Traceback" not in told


def test_a_run_that_fails_says_why_and_keeps_what_there_is(models: Path, tmp_path: Path) -> None:
    process = start(models, tmp_path, PATH="")
    shown, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "error: h2load is not installed; apt-get install nghttp2-client" in told
    assert "0 of 100 rounds" in shown
    assert [found["rounds_done"] for found in kept(tmp_path)] == [0]


def test_where_nothing_can_be_kept_nothing_is_measured(models: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = start(models, tmp_path / "file")
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert f"--output {tmp_path}/file/bench-" in told
