"""A scenario of the experiment as it stands in the result: arms merged, effects, control, looks, validity."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.compare.block_runner import BlockResult, MeasuredBlock, encode_histogram, merge_histograms
from twinserve_loadtest.compare.design import PAIRS_PER_UNIT, Role, ScenarioPlan
from twinserve_loadtest.compare.effects import whole_units
from twinserve_loadtest.record.findings import ArmResult, ScenarioResult
from twinserve_loadtest.record.percentiles import read_percentiles
from twinserve_loadtest.statistics.bootstrap import BlockTable, cdf_band

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.compare.measurements import Measurements

#: Above this share of lost units a scenario is not to be used: what is left was selected by trouble.
_LARGEST_LOSS = 0.2
_CDF_QUANTILES = (*np.linspace(0.01, 0.98, 50).tolist(), 0.985, 0.99, 0.995, 0.999)
_ROLES: tuple[Role, Role] = ("baseline", "candidate")


def scenario_result(plan: ScenarioPlan, found: Measurements, invalid: Sequence[str] = ()) -> ScenarioResult:
    """Everything about one scenario; figures come from its whole, valid units alone.

    Args:
        plan: the scenario.
        found: all measurements.
        invalid: why the generator, not the server, set its figures, when it did.
    """
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
        invalid=[*_lost([block for block in blocks if block.plan.phase == "main"], len(units)), *invalid],
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


def _lost(blocks: Sequence[MeasuredBlock], units: int) -> list[str]:
    """Whether too many units were lost for the others to speak for all."""
    reasons = []
    asked = -(-len(blocks) // (2 * PAIRS_PER_UNIT))
    if asked and 1 - units / asked > _LARGEST_LOSS:
        common = Counter(block.result.invalid for block in blocks if block.result.invalid).most_common(1)
        why = f"; most often: {common[0][0]}" if common else ""
        reasons.append(f"only {units} of {asked} units were valid{why}")
    return reasons
