"""From measured blocks to effects: ratios with intervals, the noise floor, and what may be claimed.

Only complete units whose four blocks are all valid count: a pair that lost one side says nothing. An effect
is claimed only if it clears two bars. The interval must exclude 1 at a confidence that is corrected for all
looks and for the number of effects (Bonferroni: in 95 of 100 comparisons of equal arms nothing at all is
claimed); and the distance must exceed the *noise floor*: the largest factor that the A/A control could not
exclude between two equal arms. Anything smaller may be the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from twinserve_loadtest.compare.design import PAIRS_PER_UNIT, ScenarioPlan
from twinserve_loadtest.record.blocks import Block, whole_units
from twinserve_loadtest.record.percentiles import least_samples, percentile_name
from twinserve_loadtest.record.run import Effect, Interval
from twinserve_loadtest.record.terms import ROLES, Claim, Phase, Role
from twinserve_loadtest.statistics.bootstrap import LatencyTable, LogRatio, percentile_ratios, rate_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Level:
    """How confident an effect is stated."""

    #: Of this look's interval: above ``stated`` before the last look.
    interval: float
    #: Of the interval that a claim needs: corrected for the number of effects as well.
    claim: float
    #: What the intervals of all looks together keep; written beside the interval.
    stated: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One effect before its confidence is known: it depends on the look."""

    scenario: str
    metric: str
    kind: Literal["speedup", "ratio"]
    unit: str
    baseline: float | None
    candidate: float | None
    ratio: LogRatio | None
    pairs: int
    note: str = ""

    def at(self, level: Level, floor: float | None) -> Effect:
        """The effect with its interval and its claim.

        Args:
            level: how confident interval and claim are.
            floor: the noise floor (>= 1); None: no control was run.
        """
        interval = None
        if self.ratio is not None:
            found = self.ratio.interval(level.interval)
            interval = Interval(found.estimate, found.low, found.high, level.stated)
        claim: Claim = "unknown"
        if self.ratio is not None:
            strict = self.ratio.interval(level.claim)
            better = side_of(1.0, strict.estimate, strict.low, strict.high, floor)
            if self.kind == "ratio":
                better = -better
            claims: tuple[Claim, Claim, Claim] = ("worse", "none", "better")
            claim = claims[better + 1]
        return Effect(
            scenario=self.scenario,
            metric=self.metric,
            kind=self.kind,
            unit=self.unit,
            baseline=self.baseline,
            candidate=self.candidate,
            interval=interval,
            claim=claim,
            pairs=self.pairs,
            noise_floor=floor,
            note=self.note,
        )


def side_of(limit: float, estimate: float, low: float, high: float, floor: float | None) -> int:
    """On which side of ``limit`` a ratio certainly lies: 1 above, -1 below, 0 not known.

    The interval must exclude the limit, and the estimate must be farther from it than the noise floor.
    """
    if abs(math.log(estimate / limit)) <= math.log(floor or 1.0):
        return 0
    return 1 if low > limit else -1 if high < limit else 0


def noise_floor(control: Effect | None) -> float | None:
    """The largest factor (>= 1) that the control's interval leaves possible; None without one."""
    if control is None or control.interval is None:
        return None
    return max(control.interval.high, 1 / control.interval.low)


def estimate_effects(plan: ScenarioPlan, blocks: list[Block], phase: Phase, rng: np.random.Generator) -> list[Estimate]:
    """Every effect of a scenario: its percentiles, throughput when it is offline, and CPU where it is told."""
    units = list(whole_units(blocks, plan.name, phase).values())
    pairs = PAIRS_PER_UNIT * len(units)
    estimates = _percentiles(plan, units, pairs, rng) if plan.quantiles else []
    if plan.traffic == "offline":
        amounts = _sums(units, lambda result: (float(result.images), result.seconds))
        estimates.append(_rate(plan, "throughput", "speedup", "images/s", amounts, pairs, rng, scale=1.0))
    if units and all(r.cpu_seconds is not None for unit in units for rs in unit.values() for r in rs):
        amounts = _sums(units, lambda result: (result.cpu_seconds or 0.0, float(result.images)))
        estimates.append(_rate(plan, "cpu", "ratio", "CPU s / 1,000 images", amounts, pairs, rng, scale=1000.0))
    return estimates


def effect_count(plans: Iterable[ScenarioPlan]) -> int:
    """How many effects a comparison of these scenarios states: percentiles, throughput, CPU."""
    return sum(len(plan.quantiles) + (plan.traffic == "offline") + 1 for plan in plans)


def steering(plan: ScenarioPlan, estimates: Iterable[Estimate]) -> list[Estimate]:
    """Those whose precision decides when a scenario has been measured enough."""
    metric = "throughput" if plan.steering_quantile is None else percentile_name(round(100 * plan.steering_quantile, 3))
    return [estimate for estimate in estimates if estimate.metric == metric]


def half_width(estimates: Iterable[Estimate], confidence: float) -> float:
    """The widest relative half-width (0.05: +/- 5 %); infinite when there is no interval."""
    widths = [
        math.expm1(estimate.ratio.half_width(confidence)) if estimate.ratio is not None else math.inf
        for estimate in estimates
    ]
    return max(widths, default=math.inf)


def _percentiles(
    plan: ScenarioPlan,
    units: list[dict[Role, list[Block]]],
    pairs: int,
    rng: np.random.Generator,
) -> list[Estimate]:
    tables = {role: LatencyTable([[block.histogram for block in unit[role]] for unit in units]) for role in ROLES}
    ratios = percentile_ratios(tables["baseline"], tables["candidate"], plan.quantiles, rng)
    samples = min(table.samples for table in tables.values())
    whole = np.ones((1, len(units)))
    values = {
        role: table.quantiles(whole, plan.quantiles)[0] if table.samples else np.full(len(ratios), np.nan)
        for role, table in tables.items()
    }
    estimates = []
    for index, (quantile, ratio) in enumerate(zip(plan.quantiles, ratios, strict=True)):
        needed = least_samples(100 * quantile)
        carried = samples >= needed
        estimates.append(
            Estimate(
                scenario=plan.name,
                metric=percentile_name(round(100 * quantile, 3)),
                kind="speedup",
                unit="us",
                baseline=float(values["baseline"][index]) if carried else None,
                candidate=float(values["candidate"][index]) if carried else None,
                ratio=ratio,
                pairs=pairs,
                note="" if carried else f"needs {needed:,} samples per arm and has {samples:,}",
            )
        )
    return estimates


def _sums(
    units: list[dict[Role, list[Block]]], of: Callable[[Block], tuple[float, float]]
) -> dict[Role, NDArray[np.float64]]:
    """By role, units x 2: the sums over a unit's blocks of an amount and of what it is divided by."""
    return {
        role: np.array([np.sum([of(result) for result in unit[role]], axis=0) for unit in units]).reshape(-1, 2)
        for role in ROLES
    }


def _rate(
    plan: ScenarioPlan,
    metric: str,
    kind: Literal["speedup", "ratio"],
    unit: str,
    amounts: Mapping[Role, NDArray[np.float64]],
    pairs: int,
    rng: np.random.Generator,
    *,
    scale: float,
) -> Estimate:
    ratio = rate_ratio(amounts["baseline"], amounts["candidate"], rng) if pairs else None
    means: dict[Role, float | None] = {}
    for role, table in amounts.items():
        amount, divisor = table.sum(axis=0) if len(table) else (0.0, 0.0)
        means[role] = scale * float(amount) / float(divisor) if divisor > 0 else None
    return Estimate(plan.name, metric, kind, unit, means["baseline"], means["candidate"], ratio, pairs)
