"""A server and the REST process before it, for all tests of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One image a forward pass: what shares a batch could differ in the last bit."""
    options = ("--gateways", "1", "--no-batching")
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("rest"), *options) as process:
        yield process


@pytest.fixture(scope="session")
def rest(server: ServerProcess) -> Iterator[str]:
    """host:port of ``twinserve rest``."""
    command = [sys.executable, "-m", "twinserve_client.cli.main", "rest", "--target", server.target, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"running on http://([\d.]+:\d+)", line):
                yield found[1]
                break
        else:
            pytest.fail(f"twinserve rest ended with {process.wait()} before it listened")
    finally:
        process.terminate()
        process.wait(30)
