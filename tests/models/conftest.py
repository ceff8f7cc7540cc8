"""A real build on the small set, for one epoch: enough to have every artefact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support.made_once import made_once
from twinserve_models import build
from twinserve_models.artefacts import make_artefacts
from twinserve_models.data import Dataset
from twinserve_models.export import Artefact
from twinserve_models.net import Net
from twinserve_models.train import Recipe


@pytest.fixture
def no_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """No full MNIST in the environment, and no network to fetch it."""
    hide_mnist(monkeypatch)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Net]:
    """The version folder of a model trained for one epoch on 4,000 digits, and the network as training left it."""

    def make(folder: Path) -> None:
        def keep(net: Net, dataset: Dataset) -> list[Artefact]:
            torch.save(net, folder / "net.pt")
            return make_artefacts(net, dataset)

        with pytest.MonkeyPatch.context() as patch:
            hide_mnist(patch)
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            patch.setattr(build, "make_artefacts", keep)
            build.build_models(folder / "models", progress=False, recipe=Recipe(epochs=1))

    folder = made_once(tmp_path_factory, "trained", make)
    return folder / "models" / "mnist" / "1", torch.load(folder / "net.pt", weights_only=False)


@pytest.fixture(scope="session")
def built(trained: tuple[Path, Net]) -> Path:
    """The version folder of that model."""
    return trained[0]


def hide_mnist(patch: pytest.MonkeyPatch) -> None:
    """Leave only the small set to be found."""
    patch.delenv("MNIST_ROOT", raising=False)
    patch.setattr("twinserve_models.data.download", lambda _: False)
