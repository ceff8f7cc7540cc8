"""The four files of MNIST on disk: where they lie, that they are whole, what they hold. Needs numpy only.

Taken from a folder: ``<root>/MNIST/raw/<file>`` (torchvision's layout), ``<root>/raw/<file>`` or ``<root>/<file>``,
each as it is or gzipped. The IDX format: two zero bytes, the element type (8: uint8), the number of dimensions, each
dimension as a big-endian uint32, then the elements, row-major.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinserve_server.errors import TwinserveError

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"

FOLDERS = ("MNIST/raw", "raw", ".")


class DataError(TwinserveError):
    """The images are missing or damaged; the message names the file or folder."""

    reason = "BAD_DATA"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an unzipped file of MNIST is known by."""

    bytes: int
    md5: str


FILES = {
    TRAIN_IMAGES: FileFacts(47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
    TRAIN_LABELS: FileFacts(60_008, "a25bea736e30d166cdddb491f175f624"),
    TEST_IMAGES: FileFacts(7_840_016, "2646ac647ad5339dbf082846283269ea"),
    TEST_LABELS: FileFacts(10_008, "27ae3e4e09519cfbb04c329615203637"),
}


def find_mnist(root: Path) -> dict[str, Path] | None:
    """The paths of the four files under ``root`` by their names; None when not one of them is there.

    Raises:
        DataError: some are there and some are not; names the missing ones.
    """
    for folder in FOLDERS:
        found = {}
        for name in FILES:
            for path in (root / folder / name, root / folder / f"{name}.gz"):
                if path.is_file():
                    found[name] = path
                    break
        if len(found) == len(FILES):
            return found
        if found:
            missing = ", ".join(name for name in FILES if name not in found)
            raise DataError(f"{(root / folder).resolve()}: MNIST is incomplete, {missing} (or .gz) is missing")
    return None


def read_verified(name: str, path: Path) -> bytes:
    """The unzipped contents of the file ``name`` at ``path``.

    Raises:
        DataError: the file is unreadable, truncated or corrupt; names it.
    """
    advice = "delete it and fetch MNIST again"
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {advice}") from None
    facts = FILES[name]
    if len(data) != facts.bytes:
        kind = "truncated" if len(data) < facts.bytes else "too long"
        raise DataError(f"{path}: is {kind}: {len(data):,} bytes unzipped, should be {facts.bytes:,}; {advice}")
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != facts.md5:
        raise DataError(f"{path}: is corrupt: MD5 {found}, should be {facts.md5}; {advice}")
    return data


def parse_idx(data: bytes) -> npt.NDArray[np.uint8]:
    """The array in a verified IDX file: uint8, as many dimensions as its header says."""
    dimensions = data[3]
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
