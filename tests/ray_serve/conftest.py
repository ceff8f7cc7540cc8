"""One cluster for all tests of the Ray application, which serves digits that were learnt for one epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.serve_cluster import ServeCluster
from support.server_process import ServerProcess
from twinserve_models.build import build_models
from twinserve_models.train import Recipe


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the MNIST pair, from the small set."""
    root = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MNIST_ROOT", raising=False)
        patch.setattr("twinserve_models.data.download", lambda _: False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        build_models(root, progress=False, recipe=Recipe(epochs=1))
    return root


@pytest.fixture(scope="session")
def cluster(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeCluster]:
    """The application on three nodes."""
    with ServeCluster(digits, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def single(digits: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """`twinserve serve` with the same models."""
    with ServerProcess(digits, tmp_path, "--variants", "fp32,int8") as server:
        yield server
