"""One server of the tiny pair for all of the load test's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess


@pytest.fixture(scope="session")
def shared_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Tests leave it as it was: same traffic, nobody killed."""
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("shared"), "--gateways", "1") as process:
        yield process
