"""A scenario's results for the record: arms merged, effects, control, looks, validity."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.compare.design import PAIRS_PER_UNIT, ScenarioPlan
from twinserve_loadtest.record.blocks import BLOCKS_PER_UNIT, Block, whole_units
from twinserve_loadtest.record.percentiles import merge_histograms, read_percentiles
from twinserve_loadtest.record.run import Arm, Latency, Run, Stages
from twinserve_loadtest.record.spread import summed
from twinserve_loadtest.record.terms import ROLES
from twinserve_loadtest.statistics.bootstrap import LatencyTable, cdf_band

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.compare.measurements import Measurements

#: Above this fraction of lost units a scenario must not be used: the remaining ones are a biased selection.
_LARGEST_LOSS = 0.2
_CDF_QUANTILES = (*np.linspace(0.01, 0.98, 50).tolist(), 0.985, 0.99, 0.995, 0.999)


def scenario_run(plan: ScenarioPlan, found: Measurements, invalid: Sequence[str] = ()) -> Run:
    """Everything about one scenario; figures come from its whole, valid units alone.

    Args:
        plan: the scenario.
        found: all measurements.
        invalid: why the generator, not the server, set its figures, when it did.
    """
    units = whole_units(found.blocks, plan.name, "main")
    blocks = [b for b in found.blocks if b.plan.scenario == plan.name and b.plan.phase in ("control", "main")]
    rng = np.random.default_rng([found.settings.seed, 5])
    arms = {}
    for role in ROLES if units else ():
        mine = [unit[role] for unit in units.values()]
        arm = arm_of([block for unit in mine for block in unit])
        band = cdf_band(LatencyTable([[block.histogram for block in unit] for unit in mine]), _CDF_QUANTILES, rng)
        arms[found.settings.key(role)] = replace(arm, latency=replace(arm.latency, band=band))
    return Run(
        scenario=plan.traffic,
        arms=arms,
        images_per_request=plan.images_per_request,
        offered_rate=plan.rate,
        effects=found.effects.get(plan.name, []),
        control=found.control.get(plan.name, []),
        looks=found.looks.get(plan.name, []),
        blocks=blocks,
        pairs=PAIRS_PER_UNIT * len(units),
        stopped=found.stopped.get(plan.name, "interrupted"),
        invalid=[*_lost([block for block in blocks if block.plan.phase == "main"], len(units)), *invalid],
    )


def arm_of(blocks: Sequence[Block]) -> Arm:
    """All of an arm's blocks as one."""
    merged = merge_histograms(block.histogram for block in blocks)
    count = merged.get_total_count()
    requests, errors = sum(block.requests for block in blocks), sum(block.errors for block in blocks)
    seconds, images = sum(block.seconds for block in blocks), sum(block.images for block in blocks)
    cpu = [block.cpu_seconds for block in blocks if block.cpu_seconds is not None]
    gateways = [block.gateway_cpu_seconds for block in blocks if block.gateway_cpu_seconds is not None]
    joules = [block.joules for block in blocks if block.joules is not None]
    batches = [block.mean_batch_size for block in blocks if block.mean_batch_size is not None]
    staged = [block for block in blocks if "client_total" in block.stage_seconds]
    sums: Counter[str] = Counter()
    for block in staged:
        sums.update(block.stage_seconds)
    return Arm(
        requests=requests,
        failed=errors,
        images=images,
        seconds=seconds,
        images_per_second=images / seconds if seconds else 0.0,
        latency=Latency(
            histogram=merged,
            count=count,
            percentiles_us=read_percentiles(merged),
            mean_us=merged.get_mean_value() if count else None,
            min_us=merged.get_min_value() if count else None,
            max_us=merged.get_max_value() if count else None,
        ),
        mean_batch_size=sum(batches) / len(batches) if batches else None,
        cpu_seconds_per_1000_images=_per_1000(cpu, blocks),
        gateway_cpu_seconds_per_1000_images=_per_1000(gateways, blocks),
        joules_per_1000_images=_per_1000(joules, blocks),
        stages=Stages.of_sums(sums, sum(block.requests - block.errors for block in staged)),
        blocks=len(blocks),
        servers=summed(block.servers for block in blocks),
    )


def _per_1000(amounts: list[float], blocks: Sequence[Block]) -> float | None:
    """For 1,000 images; None unless every block told its amount."""
    images = sum(block.images for block in blocks)
    return 1000 * sum(amounts) / images if images and len(amounts) == len(blocks) else None


def _lost(blocks: Sequence[Block], units: int) -> list[str]:
    """Whether too many units were lost for the others to speak for all."""
    reasons = []
    asked = -(-len(blocks) // BLOCKS_PER_UNIT)
    if asked and 1 - units / asked > _LARGEST_LOSS:
        common = Counter(block.invalid for block in blocks if block.invalid).most_common(1)
        why = f"; most often: {common[0][0]}" if common else ""
        reasons.append(f"only {units} of {asked} units were valid{why}")
    return reasons
