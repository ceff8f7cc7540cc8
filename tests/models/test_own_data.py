"""Images of one's own in four forms; what is wrong with them is said with the file's name."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from twinserve_models.build import load_images
from twinserve_models.data import Int64Array, UInt8Array
from twinserve_models.mnist_files import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, DataError
from twinserve_models.own_data import read_own


def some(each: int, seed: int = 0) -> tuple[UInt8Array, Int64Array]:
    """So many images of each of the ten classes; a class shows in the first pixel."""
    labels = np.arange(10 * each, dtype=np.int64) % 10
    images = np.random.default_rng(seed).integers(0, 256, (10 * each, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = labels
    return images, labels


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """As an IDX file, gzipped."""
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def lay_idx(folder: Path, train: tuple[Any, Any], test: tuple[Any, Any]) -> Path:
    folder.mkdir()
    for name, array in zip((TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS), (*train, *test), strict=True):
        (folder / f"{name}.gz").write_bytes(idx(array))
    return folder


def lay_pictures(folder: Path, images: UInt8Array, labels: Int64Array) -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"class-{label}" / f"{number:04}.png")
    return folder


def test_idx_files_of_another_data_set_are_read(tmp_path: Path) -> None:
    found = read_own("mine", lay_idx(tmp_path / "idx", some(3), some(1, seed=1)), [])
    assert (found.train_images.shape, found.test_images.shape) == ((30, 28, 28), (10, 28, 28))
    assert np.array_equal(found.train_images[:, 0, 0], found.train_labels)
    assert (found.info.name, found.info.train_images, found.info.test_images) == ("mine", 30, 10)


def test_an_archive_that_is_not_split_is_split_four_to_one_by_class(tmp_path: Path) -> None:
    images, labels = some(10)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    found = read_own("mine", tmp_path / "data.npz", [f"c{number}" for number in range(10)])
    assert np.bincount(found.test_labels).tolist() == [2] * 10
    assert np.bincount(found.train_labels).tolist() == [8] * 10
    assert np.array_equal(found.test_images[:, 0, 0], found.test_labels)
    assert found.classes[3] == "c3"


def test_an_archive_that_is_split_stays_so(tmp_path: Path) -> None:
    train, test = some(4), some(2, seed=1)
    parts: dict[str, Any] = {
        "train_images": train[0],
        "train_labels": train[1],
        "test_images": test[0],
        "test_labels": test[1],
    }
    np.savez(tmp_path / "data.npz", **parts)
    found = read_own("mine", tmp_path / "data.npz", [])
    assert np.array_equal(found.train_images, train[0])
    assert np.array_equal(found.test_labels, test[1])


def test_folders_name_the_classes_of_the_pictures_in_them(tmp_path: Path) -> None:
    found = read_own("mine", lay_pictures(tmp_path / "all", *some(5)), [])
    assert found.classes == tuple(f"class-{number}" for number in range(10))
    assert (len(found.train_images), len(found.test_images)) == (40, 10)
    lay_pictures(tmp_path / "split" / "train", *some(2))
    lay_pictures(tmp_path / "split" / "test", *some(1, seed=1))
    found = read_own("mine", tmp_path / "split", [])
    assert (len(found.train_images), len(found.test_images)) == (20, 10)


def archive(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": np.zeros(3)}, "holds pictures; wanted are images and labels"),
        ({"images": np.zeros((20, 28, 28), np.float32), "labels": np.zeros(20)}, "are float32"),
        ({"images": np.zeros((20, 32, 32), np.uint8), "labels": np.zeros(20)}, r"uint8 \[16, 32, 32\]"),
        ({"images": np.zeros((20, 28, 28), np.uint8), "labels": np.full(20, 11)}, r"labels must be 0\.\.9"),
        ({"images": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0)}, "there must be some"),
    ],
)
def test_an_archive_that_does_not_fit_is_said_in_one_line(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as raised:
        read_own("mine", archive(tmp_path, **arrays), [])
    assert "\n" not in raised.value.message


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 not whole")
    with pytest.raises(DataError, match="cannot be read"):
        read_own("mine", tmp_path / "data.npz", [])
    with pytest.raises(DataError, match="is neither"):
        read_own("mine", tmp_path / "nowhere", [])
    with pytest.raises(DataError, match="torchvision has no data set of that name"):
        read_own("mine", Path("torchvision:NoSuchSet"), [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds neither IDX files nor <class>/\*\.png"):
        read_own("mine", tmp_path / "empty", [])
    pictures = lay_pictures(tmp_path / "small", *some(1))
    Image.new("L", (8, 9)).save(pictures / "class-0" / "small.png")
    with pytest.raises(DataError, match=r"small\.png: is 8 x 9"):
        read_own("mine", pictures, [])
    folder = lay_idx(tmp_path / "idx", some(2), some(1))
    (folder / f"{TEST_LABELS}.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x63123"))
    with pytest.raises(DataError, match=f"{TEST_LABELS}.gz: cannot be read"):
        read_own("mine", folder, [])


def test_names_and_numbers_of_classes_must_agree(tmp_path: Path) -> None:
    images, labels = some(10)
    with pytest.raises(DataError, match="2 classes are named; the network that is built has 10"):
        read_own("mine", archive(tmp_path, images=images, labels=labels), ["a", "b"])


def test_mnist_keeps_its_name_to_itself() -> None:
    with pytest.raises(DataError, match="another name than 'mnist'"):
        load_images("mnist", None, ["a"])
    with pytest.raises(DataError, match="say where they are"):
        load_images("mine", None, [])
