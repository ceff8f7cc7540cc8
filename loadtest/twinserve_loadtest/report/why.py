"""The sections that explain: where a request's time goes, what follows from it, and where the gain ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.compare.amdahl import INFERENCE, predicted_speedup, speedup_bound
from twinserve_loadtest.report.content import (
    Axis,
    CrossoverMap,
    CrossoverRow,
    DataTable,
    EffectRow,
    Part,
    Stack,
    StackedChart,
)
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import percent, rate, significant, span, times
from twinserve_loadtest.report.scenarios import STAGES, scenario_title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twinserve_loadtest.record.findings import CrossoverCell
    from twinserve_loadtest.record.load_results import Scenario
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("mean time of a request (ms)")
_CAPTION = "Means over answered requests. In colour: the forward pass, the only stage that quantising makes faster."


def stages_section(inputs: Inputs, baseline: str) -> Section:
    """The stage split of every scenario that told it, and Amdahl's bound."""
    figures, sentences = [], []
    for source, comparison in inputs.comparisons:
        by_scenario = comparison.stages_by_scenario or {"single_stream": comparison.stages}
        for scenario, splits in by_scenario.items():
            if splits:
                stacks = [_stack(name, split.seconds) for name, split in splits.items()]
                figures.append(_split(scenario_title(scenario), stacks, source.name if inputs.several else ""))
        if comparison.amdahl is not None:
            sentences.append(comparison.amdahl.text)
    for source, results in inputs.load_tests:
        for scenario_run in results.scenarios:
            if scenario_run.name in ("single-stream", "open"):
                stacks = _stacks_tested(scenario_run)
                if stacks:
                    figures.append(
                        _split(scenario_title(scenario_run.name), stacks, source.name if inputs.several else "")
                    )
                    if not inputs.comparisons and scenario_run.name == "single-stream":
                        sentences += _amdahl(stacks, baseline)
        batches = _batches(results.scenarios)
        if batches is not None:
            figures.append(batches)
    missing = [] if figures else ["No answer told its time split, so where the time goes is not known."]
    lead = " ".join(sentences) or "Where the time of a request goes, stage by stage."
    return Section("why", "Why", lead, figures, missing)


def crossover_section(inputs: Inputs) -> Section:
    """The speed-up over batch size, threads and rate."""
    figures = [
        Figure(
            f"{comparison.candidate} against {comparison.baseline}",
            crossover_map(comparison.crossover, comparison.baseline, comparison.candidate),
            "Above 1: the candidate is faster. The cell takes the colour of the faster variant, and none where the "
            "95 % interval holds 1. Short blocks: a guide, not a verdict.",
            source=source.name if inputs.several else "",
        )
        for source, comparison in inputs.comparisons
        if comparison.crossover
    ]
    missing = []
    if not figures:
        missing.append(
            "No crossover map was measured. `twinserve compare` draws it: the ratio over batch size, threads and rate."
        )
    return Section(
        "crossover", "Where it stops paying", "The gain over batch size, threads and offered rate.", figures, missing
    )


def crossover_map(cells: list[CrossoverCell], baseline: str, candidate: str) -> CrossoverMap:
    """Cells as rows (threads, rate) x columns (batch size)."""
    batches = sorted({cell.batch_size for cell in cells})
    keys = sorted({(cell.threads, cell.offered_rate or 0.0, cell.metric) for cell in cells})
    by_place = {(cell.threads, cell.offered_rate or 0.0, cell.metric, cell.batch_size): cell for cell in cells}
    rows = []
    for threads, offered, metric in keys:
        how = f"{rate(offered)} requests/s" if offered else "offline"
        label = f"{threads} thread{'s' if threads > 1 else ''}, {how}, {metric}"
        found = [by_place.get((threads, offered, metric, batch)) for batch in batches]
        rows.append(CrossoverRow(label, [_cell(cell, baseline, candidate) for cell in found]))
    known = [cell for cell in cells if cell.speedup is not None]
    best = max(known, key=lambda cell: cell.speedup.estimate if cell.speedup else 0.0, default=None)
    worst = min(known, key=lambda cell: cell.speedup.estimate if cell.speedup else 0.0, default=None)
    summary = f"Speed-up of {candidate} over {baseline} in {len(known)} places."
    if best and worst and best.speedup and worst.speedup:
        summary += (
            f" Most at batch {best.batch_size} on {best.threads} thread(s): {times(best.speedup.estimate)};"
            f" least at batch {worst.batch_size} on {worst.threads} thread(s): {times(worst.speedup.estimate)}."
        )
    return CrossoverMap([f"batch {batch}" for batch in batches], rows, baseline, candidate, summary)


def _cell(cell: CrossoverCell | None, baseline: str, candidate: str) -> EffectRow | None:
    if cell is None:
        return None
    found = cell.speedup
    if found is None:
        return EffectRow("", "", "", None, None, None, None, "unknown", "not measured", cell.note)
    side = "better" if found.low > 1 else "worse" if found.high < 1 else "none"
    detail = (
        f"{significant(cell.baseline)} ({baseline}), {significant(cell.candidate)} ({candidate}), {cell.pairs} pairs"
    )
    return EffectRow(
        label="",
        scenario="",
        change="",
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        noise_floor=None,
        claim=side,  # type: ignore[arg-type]
        text=f"{times(found.estimate)} ({span(found.low, found.high)})",
        note=f"{detail}. {cell.note}".strip(),
    )


def _split(title: str, stacks: list[Stack], source: str) -> Figure:
    summary = "; ".join(
        f"{stack.variant}: {significant(stack.total)} ms, inference "
        f"{percent(sum(part.share for part in stack.parts if part.emphasis), 0)}"
        for stack in stacks
    )
    return Figure(
        f"Where the time goes: {title.lower()}",
        StackedChart(_AXIS, stacks, f"{summary}."),
        _CAPTION,
        source=source,
    )


def _stacks_tested(scenario: Scenario) -> list[Stack]:
    stacks = []
    for name, result in scenario.variants.items():
        told = result.stages
        if told is None:
            continue
        micro = {
            "queue": told.queue_us,
            "transfer": told.transfer_us,
            "preprocess": told.preprocess_us,
            "inference": told.inference_us,
            "postprocess": told.postprocess_us,
        }
        micro["gateway"] = max(told.server_total_us - sum(micro.values()), 0.0)
        micro["client"] = max(told.client_total_us - told.server_total_us, 0.0)
        stacks.append(_stack(name, {stage: us / 1e6 for stage, us in micro.items()}))
    return stacks


def _stack(name: str, split_seconds: Mapping[str, float]) -> Stack:
    total = sum(split_seconds.values())
    ordered = [stage for stage in STAGES if stage in split_seconds] + [s for s in split_seconds if s not in STAGES]
    parts = [
        Part(
            STAGES.get(stage, stage),
            1000 * split_seconds[stage],
            split_seconds[stage] / total if total else 0.0,
            emphasis=stage == INFERENCE,
        )
        for stage in ordered
    ]
    return Stack(name, 1000 * total, parts)


def _amdahl(stacks: list[Stack], baseline: str) -> list[str]:
    """The sentence for every other variant, when the baseline's split is known."""
    inference = {stack.variant: next((part for part in stack.parts if part.emphasis), None) for stack in stacks}
    totals = {stack.variant: stack.total for stack in stacks}
    before = inference.get(baseline)
    if before is None or not 0 < before.share < 1:
        return []
    sentences = [
        f"Inference is {percent(before.share, 0)} of a request to {baseline} (one in flight): however fast a forward "
        f"pass becomes, the request cannot by that alone gain more than {times(speedup_bound(before.share))} here."
    ]
    for name, after in inference.items():
        if name != baseline and after is not None and after.value > 0:
            gain = before.value / after.value
            sentences.append(
                f"The forward pass of {name} takes {times(1 / gain)} the time, which makes "
                f"{times(predicted_speedup(before.share, gain))} likely; {times(totals[baseline] / totals[name])} "
                "was measured."
            )
    return sentences


def _batches(scenarios: list[Scenario]) -> Figure | None:
    """Mean size of the batches that dynamic batching reached: it differs by variant."""
    rows, variants = [], []
    for scenario in scenarios:
        if scenario.name not in ("single-stream", "open", "closed", "mixed"):
            continue
        for name, result in scenario.variants.items():
            requests = sum(result.batch_sizes.values())
            if requests:
                mean = sum(size * count for size, count in result.batch_sizes.items()) / requests
                largest = max(result.batch_sizes)
                rows.append([scenario_title(scenario.name), name, significant(mean), f"{largest:,}"])
                variants.append(name)
    if not rows:
        return None
    return Figure(
        "Batches that formed",
        DataTable(["Load", "Variant", "mean images, as a request met it", "largest"], rows, list(variants)),
        "Dynamic batching lends a slower variant larger batches: part of any difference under load.",
    )
