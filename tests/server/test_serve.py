"""A first start: with no models yet, `twinserve serve` builds them in a process of its own, then serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support.server_process import wait_until

#: A server whose build is quick: it makes one tiny variant, with torch as the real one does.
QUICK_BUILD = """
import sys
from twinserve_server import cli
from twinserve_server import serve

serve.BUILD = (
    sys.executable, "-c", "import sys; from pathlib import Path; from support.tiny_model import make_tiny_models;"
    "make_tiny_models(Path(sys.argv[1]), ('fp32',))"
)
cli.app()
"""
TESTS = Path(__file__).parents[1]


@contextmanager
def first_start(models: Path, *program: str) -> Iterator[subprocess.Popen[str]]:
    """`twinserve serve` in a process group of its own, as a shell would start it, in the folder that shall hold
    ``models``."""
    process = subprocess.Popen(
        [sys.executable, *program, "--port", "0", "--metrics-port", "0",
         "--ready-file", str(models.with_name("ready.json"))],
        cwd=models.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_supervisor_that_built_the_models_holds_no_torch(tmp_path: Path) -> None:
    with first_start(tmp_path / "models", "-c", QUICK_BUILD) as server:
        ready = tmp_path / "ready.json"
        wait_until(lambda: ready.exists() or server.poll() is not None, 60)
        assert server.poll() is None, server.communicate()[0]
        supervisor = json.loads(ready.read_text())["pid"]
        assert "torch" not in Path(f"/proc/{supervisor}/maps").read_text()
        # The same look finds it where it belongs.
        assert any("torch" in Path(f"/proc/{pid}/maps").read_text() for pid in children(supervisor))
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def test_a_build_that_fails_ends_the_start_with_its_words_and_code(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to("/proc/nowhere")
    with first_start(tmp_path / "models", "-m", "twinserve_server") as server:
        said, _ = server.communicate(timeout=60)
    assert server.returncode == 1
    assert "error: models: cannot be written (" in " ".join(said.split())
    assert "Traceback" not in said


@pytest.mark.parametrize("whole_group", [True, False], ids=["in a terminal", "to the supervisor alone"])
def test_ctrl_c_while_building_ends_both_and_leaves_no_model(tmp_path: Path, whole_group: bool) -> None:
    with first_start(tmp_path / "models", "-m", "twinserve_server") as server:
        build = _building(server, tmp_path / "models")
        if whole_group:
            os.killpg(server.pid, signal.SIGINT)
        else:
            server.send_signal(signal.SIGINT)
        said, _ = server.communicate(timeout=60)
    assert server.returncode == 130
    assert "Traceback" not in said
    assert not Path(f"/proc/{build}").exists()
    assert not list((tmp_path / "models").glob("*/*/manifest.json"))


def test_sigterm_while_building_ends_both(tmp_path: Path) -> None:
    with first_start(tmp_path / "models", "-m", "twinserve_server") as server:
        build = _building(server, tmp_path / "models")
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{build}").exists()


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def _building(server: subprocess.Popen[str], models: Path) -> int:
    """Wait until the build is at work; its PID."""
    wait_until(lambda: models.is_dir() or server.poll() is not None, 60)
    assert server.poll() is None, server.communicate()[0]
    (build,) = children(server.pid)
    return build
