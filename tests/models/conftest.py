"""A real build on the small set, for one epoch: enough to have every artefact."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_models import build
from twinserve_models.train import Recipe


@pytest.fixture
def no_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """No full MNIST in the environment, and no network to fetch it."""
    hide_mnist(monkeypatch)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version folder of a model trained for one epoch on 4,000 digits."""
    with pytest.MonkeyPatch.context() as patch:
        hide_mnist(patch)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return build.build_models(tmp_path_factory.mktemp("built"), progress=False, recipe=Recipe(epochs=1))


def hide_mnist(patch: pytest.MonkeyPatch) -> None:
    """Leave only the small set to be found."""
    patch.delenv("MNIST_ROOT", raising=False)
    patch.setattr("twinserve_models.data.download", lambda _: False)
