"""Images of your own in the place of MNIST's: grey, 28 x 28, ten classes, in any of four forms.

- an ``.npz``: ``train_images``, ``train_labels``, ``test_images``, ``test_labels``; or ``images`` and ``labels``;
- a folder with the four IDX files that MNIST comes in, gzipped or not;
- a folder of pictures, ``<class>/*.png``, or ``train/<class>/...`` and ``test/<class>/...``;
- ``torchvision:NAME``, a data set that torchvision fetches, such as ``torchvision:FashionMNIST``.

Data without a split is split four to one, stratified by class, in the same way every time.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from twinserve_models.data import (
    SUBSET_SEED,
    SUBSET_TEST_SHARE,
    Dataset,
    DatasetInfo,
    Int64Array,
    UInt8Array,
    cache_folder,
)
from twinserve_models.mnist_files import (
    FILES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    DataError,
    parse_idx,
)
from twinserve_models.mnist_files import find_mnist as find_idx

SIDE: Final = 28
CLASSES: Final = 10
TORCHVISION: Final = "torchvision:"
PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp")

_Part = tuple[UInt8Array, Int64Array]


def read_own(name: str, where: Path, classes: list[str]) -> Dataset:
    """Read the images at ``where``.

    Args:
        name: of the data set, as figures will show it.
        where: in one of the four forms.
        classes: their names; empty: as the data set tells, else their numbers.

    Raises:
        DataError: names the file and what is wrong with it.
    """
    told: list[str] = []
    if str(where).startswith(TORCHVISION):
        train, test, told = _torchvision(str(where).removeprefix(TORCHVISION))
    elif where.suffix == ".npz":
        train, test = _npz(where)
    elif not where.is_dir():
        raise DataError(f"--data {where}: is neither an .npz, a folder, nor torchvision:NAME")
    elif files := find_idx(where):
        train, test = _idx(files)
    else:
        train, test, told = _pictures(where)
    names = classes or told or [str(number) for number in range(CLASSES)]
    for part, (images, labels) in (("training", train), ("test", test)):
        _check(f"--data {where}: {part} images", images, labels)
    if len(names) != CLASSES:
        raise DataError(f"--data {where}: {len(names)} classes are named; the network that is built has {CLASSES}")
    info = DatasetInfo(name, str(where), len(train[0]), len(test[0]), full=True)
    return Dataset(*train, *test, info, tuple(names))


def _check(what: str, images: Any, labels: Any) -> None:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{what}: are {images.dtype} {list(images.shape)}; give uint8 N x {SIDE} x {SIDE}, where 0 is black"
        )
    if labels.ndim != 1 or len(labels) != len(images):
        raise DataError(f"{what}: {len(images)} images, but labels {list(labels.shape)}; give one for each")
    if not len(labels) or labels.min() < 0 or labels.max() >= CLASSES:
        raise DataError(f"{what}: labels must be 0..{CLASSES - 1}, and there must be some")


def _npz(path: Path) -> tuple[_Part, _Part]:
    try:
        with np.load(path) as held:
            names = set(held.files)
            if {"train_images", "train_labels", "test_images", "test_labels"} <= names:
                train, test = ((held[f"{part}_images"], held[f"{part}_labels"]) for part in ("train", "test"))
                return (train[0], train[1].astype(np.int64)), (test[0], test[1].astype(np.int64))
            if {"images", "labels"} <= names:
                return _split(held["images"], held["labels"].astype(np.int64))
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"--data {path}: cannot be read ({error})") from None
    raise DataError(
        f"--data {path}: holds {', '.join(sorted(names)) or 'nothing'}; wanted are images and labels, or train_images, "
        "train_labels, test_images and test_labels"
    )


def _idx(files: dict[str, Path]) -> tuple[_Part, _Part]:
    arrays: dict[str, Any] = {}
    for name in FILES:
        path = files[name]
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if data[:3] != b"\0\0\x08":
                raise DataError(f"{path}: is not an IDX file of bytes")
            arrays[name] = parse_idx(data)
        except (OSError, ValueError, EOFError, zlib.error, IndexError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
    return (
        (arrays[TRAIN_IMAGES], arrays[TRAIN_LABELS].astype(np.int64)),
        (arrays[TEST_IMAGES], arrays[TEST_LABELS].astype(np.int64)),
    )


def _pictures(folder: Path) -> tuple[_Part, _Part, list[str]]:
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        images, labels, names = _labelled(folder / "train")
        test_images, test_labels, others = _labelled(folder / "test")
        if names != others:
            raise DataError(f"--data {folder}: train holds {', '.join(names)}; test holds {', '.join(others)}")
        return (images, labels), (test_images, test_labels), names
    images, labels, names = _labelled(folder)
    return *_split(images, labels), names


def _labelled(folder: Path) -> tuple[UInt8Array, Int64Array, list[str]]:
    from PIL import Image  # noqa: PLC0415

    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            if path.suffix.lower() not in PICTURES:
                continue
            try:
                with Image.open(path) as picture:
                    pixels = np.asarray(picture.convert("L"))
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error})") from None
            if pixels.shape != (SIDE, SIDE):
                raise DataError(f"{path}: is {pixels.shape[1]} x {pixels.shape[0]}; give {SIDE} x {SIDE}")
            images.append(pixels)
            labels.append(number)
    if not images:
        raise DataError(f"--data {folder}: holds neither IDX files nor <class>/*.png")
    return np.stack(images), np.array(labels, np.int64), names


def _torchvision(name: str) -> tuple[_Part, _Part, list[str]]:
    from twinserve_models.torchvision_shim import import_datasets  # noqa: PLC0415

    made = getattr(import_datasets(), name, None)
    if not isinstance(made, type):
        raise DataError(f"--data {TORCHVISION}{name}: torchvision has no data set of that name")
    root = cache_folder().with_name("torchvision")
    try:
        train, test = (made(root, train=part, download=True) for part in (True, False))
        parts = [(np.asarray(part.data), np.asarray(part.targets, np.int64)) for part in (train, test)]
    except (OSError, RuntimeError, TypeError, AttributeError) as error:
        raise DataError(f"--data {TORCHVISION}{name}: cannot be downloaded ({error})") from None
    return parts[0], parts[1], list(train.classes)


def _split(images: UInt8Array, labels: Int64Array) -> tuple[_Part, _Part]:
    """Each class four to one."""
    random = np.random.default_rng(SUBSET_SEED)
    test: list[int] = []
    train: list[int] = []
    for label in np.unique(labels):
        places = random.permutation(np.flatnonzero(labels == label))
        cut = round(len(places) * SUBSET_TEST_SHARE)
        test.extend(places[:cut])
        train.extend(places[cut:])
    return (images[train], labels[train]), (images[test], labels[test])
