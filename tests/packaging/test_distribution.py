"""What a user's pip gets: the SDK alone without torch, typed packages, stubs in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from support.wheel import ROOT, built_wheel

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory)


def test_the_wheel_carries_stubs_types_and_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "twinserve/v1/predict_pb2.py",
        "twinserve/v1/predict_pb2.pyi",
        "twinserve/v1/predict_pb2_grpc.py",
        "twinserve/py.typed",
        "twinserve_client/py.typed",
        "twinserve_server/artefact/manifest.schema.json",
        "twinserve_server/artefact/manifest.v1.schema.json",
    }
    assert wanted <= names
    assert not [name for name in names if name.startswith(("server/", "client/", "tests/", "loadtest/"))]


def test_the_sdk_installs_and_imports_without_torch(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    pip = (*PIP, "--python", str(python))
    # Few of its dependencies' modules are imported here: to compile them all would take longer than the rest.
    subprocess.run([*pip, "install", "--no-compile", "-c", str(constraints), str(wheel)], check=True, timeout=250)
    code = "import sys, twinserve_client; print(sorted({'torch', 'typer', 'prometheus_client'} & set(sys.modules)))"
    seen = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout
    assert seen.strip() == "[]"
    code = "from importlib.metadata import distributions; print(*(found.name for found in distributions()))"
    listed = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"twinserve", "numpy", "grpcio"} <= set(listed)
    assert not {"torch", "typer", "scipy"} & set(listed)
    told = subprocess.run([str(tmp_path / "venv" / "bin" / "twinserve")], check=False, capture_output=True, text=True)
    assert told.returncode == 2
    assert "twinserve[cli]" in told.stderr
    assert "Traceback" not in told.stderr


def test_no_generated_stub_is_committed() -> None:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], check=True, capture_output=True, text=True).stdout
    assert [name for name in listed.splitlines() if "_pb2" in name] == []


def test_every_command_that_is_declared_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = [target.split(":") for target in project["entry-points"]["twinserve.commands"].values()]
    code = "; ".join(f"from {module} import {attribute}" for module, attribute in targets)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
