"""A server and the REST process before it, for all tests of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.foreign_models import make_foreign_models
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
    with rest_before(server) as address:
        yield address


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of ``twinserve rest`` before a server of named tensors and of 1,000 classes."""
    models = make_foreign_models(tmp_path_factory.mktemp("foreign"))
    with (
        ServerProcess(models, tmp_path_factory.mktemp("foreign-server"), "--profile", "edge") as server,
        rest_before(server) as address,
    ):
        yield address


@contextmanager
def rest_before(server: ServerProcess, *options: str) -> Iterator[str]:
    """host:port of a process of ``twinserve rest``."""
    command = [sys.executable, "-m", "twinserve_client.cli.main", "rest", "--target", server.target, "--port", "0"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
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
