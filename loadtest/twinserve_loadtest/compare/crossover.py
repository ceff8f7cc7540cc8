"""Where the candidate stops paying: the ratio over batch size and threads (offline) and rate (open loop).

Short blocks and few pairs: a map to read, not evidence for a gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.compare.design import WARM_UP_CALLS, ScenarioPlan, unit_blocks
from twinserve_loadtest.compare.effects import Level, estimate_effects
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.comparison import CrossoverCell
from twinserve_loadtest.record.run import RateSearch, Remark
from twinserve_loadtest.record.terms import ROLES
from twinserve_loadtest.statistics.bootstrap import LatencyTable, percentile_ratios

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinserve_loadtest.compare.experiment import Extra, Measure
    from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements

BATCH_SIZES = (1, 8, 32, 128)
_BLOCK_SECONDS = 0.15
_UNITS = 4


def survey(sites: Mapping[int, Measure] | None = None, threads: int = 1, batches: Sequence[int] = BATCH_SIZES) -> Extra:
    """The measurement, to be run after the main phase.

    Args:
        sites: by threads a forward pass may use, how to measure on a server that has them; None: only the
            server of the experiment, whose ``threads`` these are.
        threads: of the experiment's server.
        batches: images per request.
    """

    def extra(measure: Measure, found: Measurements, seconds: float) -> None:
        places = dict(sites or {threads: measure})
        needed = len(places) * len(batches) * _UNITS * 4 * 2 * _BLOCK_SECONDS
        if seconds < needed:
            text = f"The crossover map needs {needed:.0f} s, but only {max(seconds, 0):.0f} s were left."
            found.missing.append(Remark("crossover_not_measured", text, "crossover"))
            return
        for count, run in places.items():
            for batch in batches:
                _measure_cell(run, found, count, batch)

    return extra


def crossover_cells(
    blocks: list[Block], settings: ExperimentSettings, slo: RateSearch | None, threads: int = 1
) -> list[CrossoverCell]:
    """The cells of all maps: throughput by batch size and threads, the median by offered rate.

    Args:
        blocks: of the whole experiment.
        settings: of the experiment.
        slo: the ladder of rates: where an arm is overloaded its queue is measured, not its speed.
        threads: that a forward pass may use on the server of the ladder of rates.
    """
    rng = np.random.default_rng([settings.seed, 4])
    cells = []
    for plan in {block.plan.scenario: block.plan for block in blocks if block.plan.phase == "crossover"}.values():
        if plan.pair < 0:
            continue
        scenario = _scenario(plan.threads, plan.images_per_request, 1)
        effect = next(
            estimate.at(Level(settings.confidence, settings.confidence, settings.confidence), None)
            for estimate in estimate_effects(scenario, blocks, "crossover", rng)
            if estimate.metric == "throughput"
        )
        cells.append(
            CrossoverCell(
                batch_size=plan.images_per_request,
                threads=plan.threads,
                offered_rate=None,
                metric="throughput",
                baseline=effect.baseline,
                candidate=effect.candidate,
                speedup=effect.interval,
                pairs=effect.pairs,
                note=effect.note,
            )
        )
    return cells + _by_rate(blocks, settings, slo, rng, threads)


def _by_rate(
    blocks: list[Block],
    settings: ExperimentSettings,
    slo: RateSearch | None,
    rng: np.random.Generator,
    threads: int,
) -> list[CrossoverCell]:
    """The speed-up of the median at each rung of the ladder of rates."""
    cells = []
    ladder = [block for block in blocks if block.plan.phase == "slo"]
    for rate in sorted({block.plan.rate for block in ladder if block.plan.rate is not None}):
        by_role = {role: [b for b in ladder if b.plan.role == role and b.plan.rate == rate] for role in ROLES}
        rounds = min(len(results) for results in by_role.values())
        if rounds < 2:
            continue
        tables = [LatencyTable([[r.histogram] for r in by_role[role][:rounds]]) for role in ROLES]
        ratio = percentile_ratios(tables[0], tables[1], [0.5], rng)[0]
        medians = [
            float(table.quantiles(np.ones((1, rounds)), [0.5])[0, 0]) if table.samples else None for table in tables
        ]
        notes = {result.invalid for results in by_role.values() for result in results if result.invalid}
        overloaded = (
            [point.arm for point in slo.points if point.offered_rate == rate and not point.sustained] if slo else []
        )
        notes |= {f"{arm} does not sustain this rate: its queue would be measured, not its speed" for arm in overloaded}
        cells.append(
            CrossoverCell(
                batch_size=1,
                threads=threads,
                offered_rate=rate,
                metric="p50",
                baseline=medians[0],
                candidate=medians[1],
                speedup=ratio.interval(settings.confidence) if ratio is not None and not notes else None,
                pairs=rounds,
                note="; ".join(sorted(notes)),
            )
        )
    return cells


def _scenario(threads: int, batch: int, requests: int) -> ScenarioPlan:
    return ScenarioPlan(
        name=f"threads-{threads}-batch-{batch}",
        traffic="offline",
        quantiles=(),
        steering_quantile=None,
        requests=requests,
        images_per_request=batch,
        threads=threads,
    )


def _measure_cell(run: Measure, found: Measurements, threads: int, batch: int) -> None:
    """Warm up both arms with this shape, size the blocks by the slower one, and measure a few units."""
    settings = found.settings
    slowest = 0.0
    for role in ROLES:
        warm_up = BlockPlan("crossover", "offline", "warm_up", role, -1, 0, WARM_UP_CALLS, batch, None, settings.seed)
        result = run(warm_up)
        slowest = max(slowest, result.seconds / result.requests)
    plan = _scenario(threads, batch, max(4, round(_BLOCK_SECONDS / slowest)))
    for unit in range(_UNITS):
        for block in unit_blocks(plan, "crossover", unit, seed=settings.seed, images=settings.images):
            found.blocks.append(run(block))
