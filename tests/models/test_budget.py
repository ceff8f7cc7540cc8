"""Training ends in time on a slow machine: epochs go first, then images, and the manifest tells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twinserve_models import budget, build, listing
from twinserve_models.budget import fit, seconds_a_step
from twinserve_models.data import Dataset, DatasetInfo
from twinserve_models.reduction import Reduction
from twinserve_models.train import Recipe
from twinserve_server.artefact.manifest import read_manifest


def images(count: int) -> Dataset:
    """So many training images, each of which says where it stood."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    info = DatasetInfo("MNIST", "a test", count, 0, full=True)
    return Dataset(pixels, np.arange(count), pixels[:0], np.arange(0), info)


@pytest.mark.parametrize(
    ("steps", "trained"),
    [
        pytest.param(2_820, (60_000, 3), id="a usual machine trains on everything"),
        pytest.param(1_875, (60_000, 2), id="a slow one for fewer epochs"),
        pytest.param(1_500, (48_000, 2), id="a slower one on fewer images, too"),
        pytest.param(375, (24_000, 1), id="one look at each image"),
        pytest.param(3, (4_000, 3), id="never on less than the small set"),
    ],
)
def test_what_fits_is_trained(steps: int, trained: tuple[int, int]) -> None:
    # Of 240 s, 48 are kept in reserve; a step is 64 images.
    dataset, recipe, reduced = fit(images(60_000), Recipe(), 240, 192 / (steps + 0.5), seed=0)
    assert (len(dataset.train_images), recipe.epochs) == trained
    assert dataset.info.train_images == len(dataset.train_labels) == trained[0]
    assert reduced == (None if trained == (60_000, 3) else Reduction(trained[0], 60_000, trained[1], 3))


def test_the_small_set_is_always_trained_on_whole() -> None:
    dataset = images(4_000)
    assert fit(dataset, Recipe(), 240, 1e9, seed=0) == (dataset, Recipe(), None)


def test_the_images_are_drawn_by_the_seed() -> None:
    first, again, other = (fit(images(60_000), Recipe(), 240, 0.3, seed)[0].train_labels for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == len(first)


def test_a_step_is_timed() -> None:
    blank = images(64)
    assert 1e-4 < seconds_a_step(replace(blank, train_labels=blank.train_labels % 10), Recipe()) < 60


@pytest.mark.usefixtures("no_mnist")
def test_the_manifest_and_show_tell_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(budget, "LEAST_IMAGES", 640)
    folder = build.build_models(tmp_path / "models", progress=False, seconds=1e-6)
    manifest = json.loads(read_manifest(folder).manifest_json)
    assert manifest["training"]["reduced"] == {"images": 640, "of_images": 4_000, "epochs": 3, "of_epochs": 3}
    assert manifest["dataset"]["train_images"] == 640
    assert manifest["variants"]["fp32"]["accuracy"]["total"] == 1_000
    assert listing.show(tmp_path / "models", "mnist", as_json=False) == 0
    assert "trained on 640 of 4,000 images for 3 of 3 epochs" in " ".join(capsys.readouterr().out.split())
