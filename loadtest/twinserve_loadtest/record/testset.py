"""The test set that a load test sends: ``models/<model>/testset.npz``, written by ``twinserve models build``.

The archive holds ``images`` (N x item shape, uint8 or float32), ``labels`` (N, integers) and
``info``, a JSON text that says which data set this is, where it came from and whether it is the
full set. No torch is needed to read it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twinserve_loadtest.record.measurement import NOT_ANSWERED, Dataset

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

FILE_NAME = "testset.npz"


class TestSetError(Exception):
    """A test set that cannot be used; the text names the file and what to do."""

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class TestSet:
    """Images with their true labels, in a fixed order."""

    __test__ = False  # not a pytest class

    images: npt.NDArray[Any]
    """N x item shape, uint8 (0..255) or float32 (0..1)."""
    labels: npt.NDArray[np.int64]
    """N true classes."""
    info: Dataset

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise ValueError("the test set holds no image")
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.images.dtype not in (np.uint8, np.float32):
            raise ValueError(f"images are {self.images.dtype}; uint8 and float32 can be sent")
        if self.labels.min() < 0 or self.labels.max() >= NOT_ANSWERED:
            raise ValueError(f"labels must lie in 0..{NOT_ANSWERED - 1}")

    def __len__(self) -> int:
        return len(self.images)

    def head(self, count: int) -> TestSet:
        """The first ``count`` images, marked as a subset when that leaves some out."""
        if count >= len(self):
            return self
        info = Dataset(self.info.name, self.info.source, count, full=False)
        return TestSet(self.images[:count], self.labels[:count], info)


def load_test_set(path: Path) -> TestSet:
    """Read a test set.

    Args:
        path: The archive, or the folder of a model that holds ``testset.npz``.

    Raises:
        TestSetError: the file is absent, damaged, or lacks a key.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with np.load(file, allow_pickle=False) as archive:
            images = np.ascontiguousarray(archive["images"])
            labels = np.asarray(archive["labels"]).astype(np.int64)
            info = json.loads(str(archive["info"]))
        dataset = Dataset(str(info["name"]), str(info["source"]), len(images), bool(info["full"]))
        return TestSet(images, labels, dataset)
    except FileNotFoundError:
        raise TestSetError(f"no test set at {file}; `twinserve models build` writes one") from None
    except KeyError as error:
        raise TestSetError(
            f"{file}: lacks {error}; expected are images, labels and info (name, source, full)"
        ) from None
    except (OSError, ValueError, zipfile.BadZipFile, TypeError) as error:
        raise TestSetError(f"{file}: is not a usable test set ({error})") from None


def save_test_set(test_set: TestSet, path: Path) -> None:
    """Write ``test_set`` in the same form, uncompressed."""
    info = {"name": test_set.info.name, "source": test_set.info.source, "full": test_set.info.full}
    np.savez(path, images=test_set.images, labels=test_set.labels, info=np.array(json.dumps(info)))
