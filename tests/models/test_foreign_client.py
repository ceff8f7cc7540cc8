"""Triton's client, in a process of its own, finds the accuracy that the manifest states, for both variants."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess

SCRIPT = Path(__file__).parents[1] / "server" / "services" / "open_inference" / "triton_client.py"
FLAGS = ("--variants", "fp32,int8", "--gateways", "1")
#: Per cent of MNIST's 10,000 test images.
LEAST = 98.9


@pytest.fixture(scope="module")
def server(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model that one epoch on the small set made."""
    with ServerProcess(built.parents[1], tmp_path_factory.mktemp("foreign"), *FLAGS) as process:
        yield process


@pytest.fixture(scope="module")
def full_server(full_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model of the full MNIST."""
    with ServerProcess(full_models, tmp_path_factory.mktemp("full"), *FLAGS) as process:
        yield process


def count_right(server: ServerProcess, model: Path, variant: str) -> tuple[int, dict[str, int]]:
    """How many of a model's test images get their label, and what its manifest states."""
    stated = json.loads((model / "1" / "manifest.json").read_text())["variants"][variant]["accuracy"]
    arguments = {"model": f"mnist_{variant}", "testset": str(model / "testset.npz")}
    command = [sys.executable, str(SCRIPT), server.target, "count_right", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), stated


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_whole_test_set_through_tritons_client(server: ServerProcess, built: Path, variant: str) -> None:
    right, stated = count_right(server, built.parent, variant)
    # An image or two on the edge may fall to the other side in a batch of another size.
    assert right == pytest.approx(stated["correct"], abs=2)
    assert right > 0.9 * stated["total"]


@pytest.mark.full_model
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_ten_thousand_through_tritons_client(full_server: ServerProcess, full_models: Path, variant: str) -> None:
    right, stated = count_right(full_server, full_models / "mnist", variant)
    assert stated["total"] == 10_000
    assert right == pytest.approx(stated["correct"], abs=2)
    assert 100 * right / stated["total"] >= LEAST
