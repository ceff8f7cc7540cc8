"""What a model takes and returns, tensor by tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from twinserve_server.artefact.datatypes import EVERY_VALUE, ITEM_SIZE, DataType

#: In a shape: a size that each request chooses.
FREE: Final = -1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor, without its batch dimension.

    Attributes:
        shape: of one item; ``FREE`` where the request chooses the size.
        range: the least and the greatest value that is meant; None: every finite value.
    """

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    range: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value that is taken."""
        return EVERY_VALUE[self.datatype] if self.range is None else self.range

    @property
    def item_bytes(self) -> int:
        """Bytes of one item, each free dimension counted as 1."""
        return math.prod(max(1, size) for size in self.shape) * ITEM_SIZE[self.datatype]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether ``shape`` is one of an item."""
        return len(shape) == len(self.shape) and all(
            wanted in (size, FREE) and size > 0 for wanted, size in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        """``ids INT64 [-1]``."""
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model of named tensors takes and returns, in the order of its ``forward()``.

    Attributes:
        metric: how an answer is compared with its target; empty: a classifier, whose classes are compared.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metric: str = ""
