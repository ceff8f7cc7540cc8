"""An experiment's settings, progress and measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from twinserve_loadtest.compare.design import LEAST_PAIRS, PAIRS_PER_UNIT, ScenarioPlan
from twinserve_loadtest.compare.effects import noise_floor
from twinserve_loadtest.compare.sizing import QUICK_SIZES, Sizes
from twinserve_loadtest.record.blocks import Block
from twinserve_loadtest.record.run import Effect, Look, Remark
from twinserve_loadtest.record.terms import Role


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """What the user asked for."""

    baseline: str
    candidate: str
    #: Size of the test set; every image is answered once by each arm.
    images: int
    #: Time for the whole experiment, seconds.
    seconds: float = 600.0
    #: Relative half-width of the steering intervals at which measuring may end: 0.02 is +/- 2 %.
    precision: float = 0.02
    confidence: float = 0.95
    #: Shares of the main phase after which the intervals are looked at.
    looks: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0)
    #: Share of the time for the A/A control: its interval must be about as narrow as the comparison's.
    control_share: float = 0.2
    #: Least units of the control and of the comparison.
    least_units: int = LEAST_PAIRS // PAIRS_PER_UNIT
    #: Share of the time kept for what comes after the main phase (rates, crossover).
    reserve: float = 0.25
    rate: float | None = None
    seed: int = 1
    sizes: Sizes = field(default_factory=Sizes)
    quick: bool = False

    def key(self, role: Role) -> str:
        """The arm's name in the results; a variant compared with itself appears twice."""
        if role == "baseline":
            return self.baseline
        return self.candidate if self.candidate != self.baseline else f"{self.candidate} (again)"

    @classmethod
    def quickly(cls, baseline: str, candidate: str, images: int) -> ExperimentSettings:
        """One minute: fewer, shorter blocks, one look. Not decision-grade."""
        return cls(
            baseline,
            candidate,
            images,
            seconds=60.0,
            looks=(1.0,),
            least_units=4,
            reserve=0.0,
            sizes=QUICK_SIZES,
            quick=True,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress for the user. ``effects`` are interim: only looks decide."""

    phase: Literal["accuracy", "warm-up", "control", "main", "rates", "crossover"]
    #: Of this phase, 0..1.
    fraction: float
    text: str
    effects: tuple[Effect, ...] = ()


@dataclass(slots=True)
class Measurements:
    """Everything that was measured, before it is judged."""

    settings: ExperimentSettings
    scenarios: tuple[ScenarioPlan, ...] = ()
    blocks: list[Block] = field(default_factory=list)
    accuracy: dict[str, Block] = field(default_factory=dict)
    effects: dict[str, list[Effect]] = field(default_factory=dict)
    control: dict[str, list[Effect]] = field(default_factory=dict)
    #: Standard errors behind the effects, for planning: (scenario, metric) -> (standard error, units, confidence).
    errors: dict[tuple[str, str], tuple[float, int, float]] = field(default_factory=dict)
    looks: dict[str, list[Look]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    missing: list[Remark] = field(default_factory=list)
    seconds: float = 0.0

    def floors(self, scenario: str) -> dict[str, float | None]:
        """The noise floor of each metric of a scenario."""
        return {effect.metric: noise_floor(effect) for effect in self.control.get(scenario, [])}
