"""The input and output tensors of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from twinserve_server.artefact.datatypes import EVERY_VALUE, ITEM_SIZE, DataType

#: In a shape: a size that may differ between requests.
FREE: Final = -1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor, without its batch dimension.

    Attributes:
        shape: of one item; ``FREE`` for a size that may differ from request to request.
        range: the smallest and largest meaningful value; None for any finite value.
    """

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    range: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and largest accepted value."""
        return EVERY_VALUE[self.datatype] if self.range is None else self.range

    @property
    def item_bytes(self) -> int:
        """Bytes per item, counting each free dimension as 1."""
        return math.prod(max(1, size) for size in self.shape) * ITEM_SIZE[self.datatype]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an item may have this ``shape``."""
        return len(shape) == len(self.shape) and all(
            wanted in (size, FREE) and size > 0 for wanted, size in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        """``ids INT64 [-1]``."""
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The named tensors that a model takes and returns, in the order of its ``forward()``.

    Attributes:
        metric: how an answer is compared with its target; empty for a classifier, whose classes are compared.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metric: str = ""
