"""`twinserve doctor`: its exit code is whether a server would start, and every fault says what to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.tiny_model import make_tiny_models
from twinserve_doctor import examine
from twinserve_doctor.cli import app
from twinserve_doctor.finding import Finding
from twinserve_doctor.libraries import LIBRARIES, Library

TORCH = {"version": "2", "engines": ["x86", "qnnpack"], "cuda": []}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries are looked at in test_libraries; loading them for every case here takes a minute."""

    def known(library: Library) -> Finding:
        return Finding(library.module, "ok", "", facts=TORCH if library.module == "torch" else {"version": "1"})

    monkeypatch.setattr(examine, "examine_library", known)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return make_tiny_models(tmp_path / "models")


def doctor(*arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by what was looked at."""
    ran = CliRunner().invoke(app, ["--json", *map(str, arguments)])
    told = json.loads(ran.stdout)
    assert told["serves"] == (ran.exit_code == 0)
    assert all(finding["advice"] for finding in told["findings"] if finding["level"] == "fault")
    return ran.exit_code, {finding["check"]: finding for finding in told["findings"]}


def test_a_sound_installation_serves(models: Path) -> None:
    code, found = doctor("--models", models, "--port", 0, "--metrics-port", 0)
    assert code == 0
    assert {"processor", "cores", "memory", "torch", "onnxruntime", "GPU", "shared memory", "data set"} <= set(found)
    assert found["model tiny"]["found"] == "version 1 serves fp32, int8; 2 files verified by SHA-256"


def test_a_taken_port_is_named(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, found = doctor("--models", models, "--port", port, "--metrics-port", 0)
    assert code == 1
    assert found["gRPC port"]["level"] == "fault"
    assert f"127.0.0.1:{port}" in found["gRPC port"]["found"]


def test_a_damaged_artefact_is_named(models: Path) -> None:
    path = models / "tiny/1/int8.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, found = doctor("--models", models, "--port", 0, "--metrics-port", 0)
    assert code == 1
    assert "int8.pt: is corrupt" in found["model tiny"]["found"]


def test_a_folder_without_models_says_how_to_make_some(tmp_path: Path) -> None:
    code, found = doctor("--models", tmp_path, "--port", 0, "--metrics-port", 0)
    assert code == 1
    assert "twinserve models build" in found["models"]["advice"]


@pytest.mark.parametrize(
    ("variable", "value", "check", "said"),
    [
        ("TWINSERVE_THREADS", "none", "settings", "TWINSERVE_THREADS"),
        ("TWINSERVE_VARIANTS", "int4", "settings", "no variant 'int4'"),
        ("TWINSERVE_HOST", "0.0.0.0", "network", "plain text"),
        ("TWINSERVE_TOKENS", "/nowhere/tokens", "network", "/nowhere/tokens"),
    ],
)
def test_settings_of_the_environment_are_those_of_a_server(
    models: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, found = doctor("--models", models, "--port", 0, "--metrics-port", 0)
    assert code == 1
    assert said in found[check]["found"]


def test_without_torch_the_variants_that_need_it_are_a_fault(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "examine_library", lambda library: Finding(library.module, "note", "not installed"))
    code, found = doctor("--models", models, "--port", 0, "--metrics-port", 0)
    assert code == 1
    assert "pip install 'twinserve[torchscript]'" in found["model tiny"]["found"]
    assert [library.module for library in LIBRARIES] == ["torch", "onnxruntime"]


def test_without_the_server_s_own_modules_it_says_which_extra_brings_them() -> None:
    """In a process of its own, which has imported none of them yet."""
    program = """
import sys
sys.modules["structlog"] = None
from twinserve_doctor import examine
from twinserve_doctor.finding import Finding
examine.examine_library = lambda library: Finding(library.module, "note", "not installed")
from twinserve_doctor.cli import app
app(["--json"])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1, ran.stderr
    found = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert found["server"]["found"] == "structlog is not installed"
    assert found["server"]["advice"] == "pip install 'twinserve[server]'"
    assert "processor" in found


def test_for_people_it_ends_with_the_verdict(models: Path) -> None:
    ran = CliRunner().invoke(app, ["--models", str(models), "--port", "0", "--metrics-port", "0"])
    assert ran.exit_code == 0
    assert "`twinserve serve` would start." in ran.stdout
