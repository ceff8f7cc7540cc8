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


@pytest.fixture(scope="module")
def server(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model that one epoch made."""
    flags = ("--variants", "fp32,int8", "--gateways", "1")
    with ServerProcess(built.parents[1], tmp_path_factory.mktemp("foreign"), *flags) as process:
        yield process


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_whole_test_set_through_tritons_client(server: ServerProcess, built: Path, variant: str) -> None:
    stated = json.loads((built / "manifest.json").read_text())["variants"][variant]["accuracy"]
    arguments = {"model": f"mnist_{variant}", "testset": str(built.parent / "testset.npz")}
    command = [sys.executable, str(SCRIPT), server.target, "count_right", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    # An image or two on the edge may fall to the other side in a batch of another size.
    assert int(done.stdout) == pytest.approx(stated["correct"], abs=2)
    assert int(done.stdout) > 0.9 * stated["total"]
