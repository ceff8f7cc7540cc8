"""How the named tensors of one item lie in its bytes: what lets queue, batches and frames treat any model alike.

An item is its tensors one after the other, without gaps, so items may be put together and taken apart by their size
alone, whatever they hold. Only items of equal layout, which is to say of equal shapes, share a batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_server.artefact.datatypes import ITEM_SIZE, DataType
from twinserve_server.artefact.dtypes import DTYPES

Array = npt.NDArray[Any]

#: A layout's text is shorter than this: a header of frames has 16 bits for its length.
MAX_BYTES: Final = (1 << 16) - 1


@dataclass(frozen=True)
class Layout:
    """The tensors of one item: datatype and shape of each, in the model's order."""

    tensors: tuple[tuple[DataType, tuple[int, ...]], ...]

    @cached_property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return sum(math.prod(shape) * ITEM_SIZE[datatype] for datatype, shape in self.tensors)

    @property
    def packed(self) -> bytes:
        """As it travels in a frame."""
        return _packed(self)

    @staticmethod
    def unpacked(data: bytes) -> Layout:
        """The inverse of :attr:`packed`.

        Raises:
            ValueError: the bytes are none.
        """
        return _unpacked(data)

    def join(self, arrays: Sequence[Array]) -> bytes:
        """``arrays`` (items x shape each, of these datatypes) as items."""
        if len(arrays) == 1:
            return np.ascontiguousarray(arrays[0], DTYPES[self.tensors[0][0]]).tobytes()
        items = np.empty(len(arrays[0]), self._record)
        for index, array in enumerate(arrays):
            items[str(index)] = array
        return items.tobytes()

    def split(self, data: bytes | bytearray | memoryview, items: int) -> list[Array]:
        """The tensors of ``items`` items, items x shape each; of a single tensor it is a view of ``data``."""
        if len(self.tensors) == 1:
            datatype, shape = self.tensors[0]
            return [np.frombuffer(data, DTYPES[datatype]).reshape(items, *shape)]
        records = np.frombuffer(data, self._record, items)
        return [np.ascontiguousarray(records[str(index)]) for index in range(len(self.tensors))]

    @cached_property
    def _record(self) -> np.dtype[Any]:
        return np.dtype([(str(index), DTYPES[kind], shape) for index, (kind, shape) in enumerate(self.tensors)])


#: The content of a request's items: pixels of one datatype, in the shape that the manifest states, or named tensors.
Form = DataType | Layout


@lru_cache(maxsize=1024)
def _packed(layout: Layout) -> bytes:
    return json.dumps(layout.tensors).encode()


@lru_cache(maxsize=1024)
def _unpacked(data: bytes) -> Layout:
    return Layout(tuple((datatype, tuple(shape)) for datatype, shape in json.loads(data)))
