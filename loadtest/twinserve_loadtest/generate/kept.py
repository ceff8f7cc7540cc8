"""The tensors that a model without classes answered with, item by item, in files that another process reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_SUFFIX = ".npy"


class Kept:
    """Takes answers as they come.

    Args:
        folder: where a file for each output goes; it is made.
        items: of the test set.
    """

    def __init__(self, folder: Path, items: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._items = folder, items
        self._arrays: dict[str, NDArray[Any] | None] = {}

    def put(self, indices: NDArray[np.int64], outputs: Mapping[str, NDArray[Any]]) -> None:
        """Keep the answer to some items. An output whose items differ in shape is given up."""
        for name, array in outputs.items():
            if name not in self._arrays:
                self._arrays[name] = np.lib.format.open_memmap(
                    self._path(name), mode="w+", dtype=array.dtype, shape=(self._items, *array.shape[1:])
                )
            kept = self._arrays[name]
            if kept is None:
                continue
            if kept.shape[1:] != array.shape[1:]:
                self._arrays[name] = None
                self._path(name).unlink()
                continue
            kept[indices] = array

    def _path(self, name: str) -> Path:
        return self._folder / f"{quote(name, safe='')}{_SUFFIX}"


def read_kept(folder: Path) -> dict[str, NDArray[Any]]:
    """By output, items x shape, in the order of the test set; what was not answered holds zeros."""
    return {
        unquote(path.name.removesuffix(_SUFFIX)): np.load(path, mmap_mode="r")
        for path in sorted(folder.glob(f"*{_SUFFIX}"))
    }
