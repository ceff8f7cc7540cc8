"""What is asked of a pair of artefacts that compute the same in floats and in 8-bit integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that an 8-bit tensor can hold: ``scale * (q - zero_point)`` for q in ``low..high``."""

    scale: float
    zero_point: int
    low: int = 0
    high: int = 255

    @classmethod
    def over(cls, least: float, greatest: float) -> Grid:
        """The 256 values that span ``least`` to ``greatest`` and hold 0 exactly."""
        least, greatest = min(0.0, least), max(0.0, greatest)
        scale = (greatest - least) / 255 or 1.0
        return cls(scale, round(-least / scale))

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return self.scale * (self.low - self.zero_point), self.scale * (self.high - self.zero_point)


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How one layer is computed in 8 bits.

    Attributes:
        weights: the weights as their integers mean them.
        input: the grid of what enters; None: that of the layer it comes from, which is counted there and not here.
        output: the grid of what leaves; None: it leaves in floats.
        dynamic: whether the grid of what enters is found batch by batch.
    """

    weights: Array
    input: Grid | None
    output: Grid | None
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or a linear layer of both artefacts.

    Attributes:
        weights: in floats, out x in (x height x width).
        float_op, integer_op: the operators that executed it.
        quantisation: of the integer artefact; None: it runs this layer in floats.
        rectified: whether a relu is part of the integer layer.
    """

    name: str
    weights: Array
    float_op: str
    integer_op: str
    quantisation: Quantisation | None
    rectified: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What a layer did to a batch.

    Attributes:
        input: what entered in the float artefact.
        output: what left it there (after the relu that is part of the integer layer).
        alone: what would have left, were this layer alone in 8 bits; None: it is in floats.
        served: what left it in the integer artefact, where all layers before it are in 8 bits too.
    """

    input: Array
    output: Array
    alone: Array | None
    served: Array


@dataclass(frozen=True, slots=True)
class Kernel:
    """What executed a layer, as the runtime's profiler tells, and the µs of one batch there; None: not told."""

    name: str
    us: float | None


class Twins(Protocol):
    """A float and an integer artefact of one network. Batches are N x item, as the test set holds them."""

    layers: list[Layer]

    def observe(self, batch: npt.NDArray[Any]) -> list[Seen]:
        """What every layer did to ``batch``, in the order of ``layers``."""
        ...

    def simulate(self, batch: npt.NDArray[Any], quantised: Mapping[int, Quantisation]) -> Array:
        """What the float artefact returns with these layers, by their place, in simulated 8 bits."""
        ...

    def served(self, batch: npt.NDArray[Any]) -> Array:
        """What the integer artefact returns."""
        ...

    def kernels(self, batch: npt.NDArray[Any]) -> list[tuple[Kernel, Kernel]]:
        """What executed each layer in the float and in the integer artefact."""
        ...


class NoTwinsError(Exception):
    """The two artefacts are not one network in floats and integers; the message says where they differ."""
