"""A scenario of the experiment as it stands in the result: arms merged, effects, control, looks, validity."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.block_runner import BlockResult, MeasuredBlock, encode_histogram, merge_histograms
from twinserve_loadtest.bootstrap import BlockTable, cdf_band
from twinserve_loadtest.design import PAIRS_PER_UNIT, Role, ScenarioPlan
from twinserve_loadtest.effects import whole_units
from twinserve_loadtest.findings import ArmResult, ScenarioResult
from twinserve_loadtest.percentiles import read_percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.measurements import Measurements

#: Above this share of lost units a scenario is not to be used: what is left was selected by trouble.
_LARGEST_LOSS = 0.2
#: Of one core: above it the generator's one Python thread is taken to be the bottleneck.
_GENERATOR_CPU_LIMIT = 0.9
#: Of the median latency: more lateness than that is the generator's own.
_LATENESS_LIMIT = 0.2
_CDF_QUANTILES = (*np.linspace(0.01, 0.98, 50).tolist(), 0.985, 0.99, 0.995, 0.999)
_ROLES: tuple[Role, Role] = ("baseline", "candidate")


def scenario_result(plan: ScenarioPlan, found: Measurements) -> ScenarioResult:
    """Everything about one scenario; figures come from its whole, valid units alone."""
    settings = found.settings
    units = whole_units(found.blocks, plan.name, "main")
    blocks = [b for b in found.blocks if b.plan.scenario == plan.name and b.plan.phase in ("control", "main")]
    rng = np.random.default_rng([settings.seed, 5])
    results: dict[Role, list[list[BlockResult]]] = {role: [unit[role] for unit in units.values()] for role in _ROLES}
    return ScenarioResult(
        name=plan.name,
        description=plan.description,
        arms={settings.key(role): _arm(results[role], rng) for role in _ROLES if results[role]},
        effects=found.effects.get(plan.name, []),
        control=found.control.get(plan.name, []),
        looks=found.looks.get(plan.name, []),
        blocks=[block.to_finding(settings.key(block.plan.role)) for block in blocks],
        pairs=PAIRS_PER_UNIT * len(units),
        offered_rate=plan.rate,
        images_per_request=plan.images_per_request,
        stopped=found.stopped.get(plan.name, "interrupted"),
        invalid=_invalid([block for block in blocks if block.plan.phase == "main"], results, len(units)),
    )


def _arm(units: Sequence[Sequence[BlockResult]], rng: np.random.Generator) -> ArmResult:
    blocks = [block for unit in units for block in unit]
    merged = merge_histograms([block.histogram for block in blocks])
    percentiles, withheld = read_percentiles(merged)
    seconds, images = sum(b.seconds for b in blocks), sum(b.images for b in blocks)
    cpu = [block.cpu_seconds for block in blocks if block.cpu_seconds is not None]
    batches = [block.mean_batch_size for block in blocks if block.mean_batch_size is not None]
    return ArmResult(
        requests=sum(block.requests for block in blocks),
        images=images,
        errors=sum(block.errors for block in blocks),
        seconds=seconds,
        histogram=encode_histogram(merged),
        percentiles_us={**percentiles, **dict.fromkeys(withheld)},
        cdf=cdf_band(BlockTable([[block.histogram for block in unit] for unit in units]), _CDF_QUANTILES, rng),
        images_per_second=images / seconds,
        cpu_seconds_per_1000_images=1000 * sum(cpu) / images if len(cpu) == len(blocks) and images else None,
        mean_batch_size=sum(batches) / len(batches) if batches else None,
    )


def _invalid(blocks: Sequence[MeasuredBlock], results: dict[Role, list[list[BlockResult]]], units: int) -> list[str]:
    """Why the scenario's figures must not be used."""
    reasons = []
    asked = -(-len(blocks) // (2 * PAIRS_PER_UNIT))
    if asked and 1 - units / asked > _LARGEST_LOSS:
        common = Counter(block.result.invalid for block in blocks if block.result.invalid).most_common(1)
        why = f"; most often: {common[0][0]}" if common else ""
        reasons.append(f"only {units} of {asked} units were valid{why}")
    for role, grouped in results.items():
        valid = [block for unit in grouped for block in unit]
        shares = [b.generator_cpu_share for b in valid if b.generator_cpu_share is not None]
        if shares and median(shares) >= _GENERATOR_CPU_LIMIT:
            reasons.append(
                f"the generator used {median(shares):.0%} of its one core ({role}): it, not the server, set the pace"
            )
        late = [b.lateness_p99_us for b in valid if b.lateness_p99_us is not None]
        middle = [b.histogram.get_value_at_percentile(50) for b in valid if b.histogram.get_total_count()]
        if late and middle and median(late) > _LATENESS_LIMIT * median(middle):
            reasons.append(
                f"the generator sent late by {median(late):,.0f} us (p99), {median(late) / median(middle):.0%} of the "
                f"median latency ({role})"
            )
    return reasons
