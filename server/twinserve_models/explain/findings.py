"""What an explanation says, as it is kept, shown and drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LayerFinding:
    """One layer. Ratios of signal to quantisation noise (SQNR) are in dB; None: the layer is in floats.

    Attributes:
        shape: of the weights, out x in (x height x width).
        float_kernel, integer_kernel: what executed it, as the profiler tells.
        float_us, integer_us: of a batch there; None: not told.
        weights_db: of the weights.
        alone_db: of what leaves it, were it alone in 8 bits.
        served_db: of what leaves it in the integer variant, with the noise of all layers before it.
        seen: the least and the greatest value that leaves it in floats.
        kept: those that its 8 bits can hold; None: it leaves in floats.
        saturated: the share of what leaves it that lies outside of ``kept``.
        levels: how many of the 256 levels lie within ``seen``.
        lost_points: accuracy lost with this layer alone in 8 bits; None: there are no labels.
        regained_points: accuracy regained with this layer alone left in floats.
        changed: answers that differ from the float variant's with this layer alone in 8 bits.
        float_bytes: what the weights take more in floats.
    """

    name: str
    shape: list[int]
    float_kernel: str
    integer_kernel: str
    float_us: float | None
    integer_us: float | None
    weights_db: float | None
    alone_db: float | None
    served_db: float
    seen: tuple[float, float]
    kept: tuple[float, float] | None
    saturated: float | None
    levels: int | None
    lost_points: float | None
    regained_points: float | None
    changed: int
    float_bytes: int

    @property
    def in_integers(self) -> bool:
        """Whether the integer variant runs it in 8 bits."""
        return self.weights_db is not None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """All layers with activations calibrated anew: by what, on how many images, and what comes out."""

    calibrator: str
    images: int
    accuracy: float | None
    agreement: float
    scores_db: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the integer variant loses what the float variant has.

    Attributes:
        images: that were looked at; none of them calibrates in the sweep.
        float_accuracy, integer_accuracy: per cent; None: there are no labels.
        agreement: per cent of the images that get the same answer from both.
        batch: images a batch for the times of the kernels.
        advice: what to do, in sentences.
    """

    model: str
    version: str
    float_variant: str
    integer_variant: str
    dataset: dict[str, Any]
    images: int
    float_accuracy: float | None
    integer_accuracy: float | None
    agreement: float
    batch: int
    layers: list[LayerFinding]
    sweep: list[SweepRow]
    advice: list[str]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; the key ``explain`` tells readers what the document is."""
        return {"explain": {"schema_version": 1, **asdict(self)}}
