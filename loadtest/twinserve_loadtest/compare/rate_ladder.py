"""The highest rate that each variant sustains within its objective: a ladder of offered rates, open loop.

Both arms climb every rung, in interleaved rounds, so that the rounds can be resampled for an interval. The
rate is interpolated, on logarithmic axes, between the last rung that meets the objective and the first that
misses it. A rung that the generator could not climb says nothing about the server.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.compare.design import pair_seed
from twinserve_loadtest.compare.effects import Estimate, Level
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.percentiles import least_samples, merge_histograms, percentile_name, read_percentiles
from twinserve_loadtest.record.run import RatePoint, RateSearch, Remark
from twinserve_loadtest.record.terms import ROLES, Role
from twinserve_loadtest.statistics.bootstrap import LatencyTable, LogRatio, draw_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twinserve_loadtest.compare.experiment import Extra, Measure
    from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements

#: The overhead of a block besides its load, seconds.
_OVERHEAD = 0.15
_LEAST_ROUNDS = 4
#: Of the remaining time; the crossover map comes after.
_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Objective:
    """What "sustained" means, and where to look."""

    limit_ms: float = 10.0
    quantile: float = 0.99
    max_error_share: float = 0.001
    #: Rungs, as multiples of what one request in flight reaches on the slower arm.
    rungs: tuple[float, ...] = (0.3, 0.5, 0.8, 1.2, 1.7, 2.4, 3.4)
    block_seconds: float = 0.6
    most_rounds: int = 10


def climb(objective: Objective, server_load: float) -> Extra:
    """The measurement, to be run after the main phase.

    Args:
        objective: what is to be sustained.
        server_load: what the open-loop scenario's rate is of one request in flight (``Sizes.server_load``).
    """

    def extra(measure: Measure, found: Measurements, seconds: float) -> None:
        base = next(plan.rate for plan in found.scenarios if plan.rate is not None) / server_load
        rates = [_two_figures(rung * base) for rung in objective.rungs]
        round_seconds = 2 * len(rates) * (objective.block_seconds + _OVERHEAD)
        rounds = min(objective.most_rounds, int(_SHARE * seconds / round_seconds))
        if rounds < _LEAST_ROUNDS:
            needed = _LEAST_ROUNDS * round_seconds / _SHARE
            found.missing.append(
                Remark(
                    "slo_not_measured",
                    f"Finding the rate within the objective needs {needed:.0f} s, but only "
                    f"{max(seconds, 0):.0f} s were left.",
                    "rate",
                )
            )
            return
        for number in range(rounds):
            for rate in rates:
                roles = ROLES if number % 2 == 0 else ROLES[::-1]
                for role in roles:
                    found.blocks.append(measure(_plan(rate, role, number, objective, found.settings)))

    return extra


def rate_search(
    blocks: Sequence[Block], settings: ExperimentSettings, objective: Objective, floor: float | None
) -> RateSearch | None:
    """What the ladder showed; None when it was not climbed."""
    rungs: dict[tuple[Role, float], list[Block]] = defaultdict(list)
    for block in blocks:
        if block.plan.phase == "slo" and block.plan.rate is not None:
            rungs[block.plan.role, block.plan.rate].append(block)
    rates = sorted({rate for _, rate in rungs})
    whole = [rate for rate in rates if all(rungs[role, rate] for role in ROLES)]
    if not whole:
        return None
    points = {
        role: [_point(settings.key(role), rate, rungs[role, rate], objective) for rate in whole] for role in ROLES
    }
    rng = np.random.default_rng([settings.seed, 3])
    rounds = min(len(results) for results in rungs.values())
    weights = np.vstack([np.ones(rounds), draw_units(rounds, rng)])
    sustained = {role: _sustained(points[role], rungs, role, weights, objective) for role in ROLES}
    known: dict[Role, float | None] = {
        role: float(found[0]) if np.isfinite(found[0]) else None for role, found in sustained.items()
    }
    with np.errstate(invalid="ignore"):
        logs = np.log(sustained["candidate"]) - np.log(sustained["baseline"])
    ratio, note = None, ""
    if np.isfinite(logs[0]) and np.isfinite(logs).mean() > 0.9 and rounds >= _LEAST_ROUNDS:
        spread = float(np.nanstd(logs[np.isfinite(logs)][1:], ddof=1)) * math.sqrt(rounds / (rounds - 1))
        ratio = LogRatio(float(logs[0]), spread, rounds)
    else:
        note = "the rates tried did not reach the limits of both variants"
    estimate = Estimate(
        "slo", "slo_rate", "speedup", "requests/s", known["baseline"], known["candidate"], ratio, rounds, note
    )
    return RateSearch(
        percentile=percentile_name(100 * objective.quantile),
        limit_ms=objective.limit_ms,
        max_error_share=objective.max_error_share,
        sustained={settings.key(role): known[role] for role in ROLES},
        effect=estimate.at(Level(settings.confidence, settings.confidence, settings.confidence), floor),
        points=[point for role in ROLES for point in points[role]],
    )


def _plan(rate: float, role: Role, number: int, objective: Objective, settings: ExperimentSettings) -> BlockPlan:
    requests = max(20, round(rate * objective.block_seconds))
    return BlockPlan(
        scenario="slo",
        traffic="open",
        phase="slo",
        role=role,
        pair=number,
        first_image=(number * requests) % settings.images,
        requests=requests,
        images_per_request=1,
        rate=rate,
        seed=pair_seed(settings.seed, f"slo-{rate:g}", "slo", number),
    )


def _point(arm: str, rate: float, results: list[Block], objective: Objective) -> RatePoint:
    percentiles = read_percentiles(merge_histograms(result.histogram for result in results))
    requests, errors = sum(r.requests for r in results), sum(r.errors for r in results)
    reasons = sorted({result.invalid for result in results if result.invalid})
    at = percentiles.get(percentile_name(100 * objective.quantile))
    error_share = errors / requests if requests else 1.0
    kept = at is not None and at <= 1000 * objective.limit_ms and error_share < objective.max_error_share
    return RatePoint(
        arm=arm,
        offered_rate=rate,
        achieved_rate=requests / sum(r.seconds for r in results),
        percentiles_us=percentiles,
        error_share=error_share,
        sustained=kept and not reasons,
        reason="; ".join(reasons),
        generator_bound=bool(reasons),
    )


def _sustained(
    points: list[RatePoint],
    rungs: dict[tuple[Role, float], list[Block]],
    role: Role,
    weights: NDArray[np.float64],
    objective: Objective,
) -> NDArray[np.float64]:
    """The highest rate within the objective for each row of weights; NaN where the ladder does not tell."""
    rounds = weights.shape[1]
    usable = [point for point in points if not point.generator_bound and point.error_share < objective.max_error_share]
    found = np.full(len(weights), np.nan)
    if len(usable) < 2:
        return found
    log_rates = np.log([point.offered_rate for point in usable])
    logs = []
    for point in usable:
        results = rungs[role, point.offered_rate][:rounds]
        table = LatencyTable([[result.histogram] for result in results])
        if table.samples < least_samples(100 * objective.quantile):
            return found
        logs.append(np.log(table.quantiles(weights, [objective.quantile])[:, 0]))
    excess = np.stack(logs, axis=1) - math.log(1000 * objective.limit_ms)
    for row, values in enumerate(excess):
        broken = np.flatnonzero(values > 0)
        if len(broken) and broken[0] > 0:
            after = int(broken[0])
            before = after - 1
            part = values[before] / (values[before] - values[after])
            found[row] = math.exp(log_rates[before] + part * (log_rates[after] - log_rates[before]))
    return found


def _two_figures(rate: float) -> float:
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return round(rate / step) * step
