"""A real build on the small set, for one epoch: enough to have every artefact."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_models import build
from twinserve_models.train import Recipe


@pytest.fixture(scope="session")
def no_mnist() -> pytest.MonkeyPatch:
    """No full MNIST in the environment, and no network to fetch it."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MNIST_ROOT", raising=False)
    patch.setattr("twinserve_models.data.download", lambda _: False)
    return patch


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, no_mnist: pytest.MonkeyPatch) -> Path:
    """The version folder of a model trained for one epoch on 4,000 digits."""
    folder = tmp_path_factory.mktemp("built")
    with no_mnist.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return build.build_models(folder, progress=False, recipe=Recipe(epochs=1))
