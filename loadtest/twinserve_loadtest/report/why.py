"""The section that explains: where a request's time goes, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.terms import EQUAL_LOAD
from twinserve_loadtest.report.content import Axis, DataTable, Part, Stack, StackedChart
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import percent, significant
from twinserve_loadtest.report.scenarios import STAGES
from twinserve_loadtest.statistics.amdahl import INFERENCE, amdahl_bound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Run
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("mean time of a request (ms)")
_CAPTION = "Means over answered requests. In colour: inference, the only stage that quantisation makes faster."


def stages_section(inputs: Inputs) -> Section:
    """The stage split of every run that told it, and Amdahl's bound."""
    figures: list[Figure] = []
    sentences: list[str] = []
    for label, record in inputs.labelled:
        for run in record.runs.values():
            stacks = [_stack(name, arm.stages.seconds) for name, arm in run.arms.items() if arm.stages is not None]
            if stacks and (run.scenario in EQUAL_LOAD or (record.comparison and run.scenario != "accuracy")):
                figures.append(_split(run.title, stacks, label))
        batches = _batches(record.runs.values()) if record.comparison is None else None
        if batches is not None:
            figures.append(batches)
        sentences += _bounds(record, alone=not sentences)
    sentences = [text for text in dict.fromkeys(sentences) if text]
    missing = [] if figures else ["No answer reported its time by stage."]
    lead = "Where the time of a request goes, stage by stage."
    return Section("why", "Why", lead, figures, missing, " ".join(sentences))


def _bounds(record: Record, *, alone: bool) -> Iterator[str]:
    """Of a comparison as it was written; of a load test when no comparison says it already."""
    if record.comparison is not None:
        if record.comparison.amdahl is not None:
            yield record.comparison.amdahl.limit
            yield record.comparison.amdahl.text
        return
    run = record.runs.get("single-stream")
    if run is None or not alone:
        return
    splits = {name: arm.stages for name, arm in run.arms.items() if arm.stages is not None}
    for name, split in splits.items():
        if name != record.baseline and record.baseline in splits:
            observed = splits[record.baseline].total_seconds / split.total_seconds
            bound = amdahl_bound(splits, record.baseline, name, observed)
            if bound is not None:
                yield bound.limit
                yield bound.text


def _split(title: str, stacks: list[Stack], source: str) -> Figure:
    summary = "; ".join(
        f"{stack.variant}: {significant(stack.total)} ms, inference "
        f"{percent(sum(part.share for part in stack.parts if part.emphasis), 0)}"
        for stack in stacks
    )
    chart = StackedChart(_AXIS, stacks, f"{summary}.")
    return Figure(f"Where the time goes: {title.lower()}", chart, _CAPTION, source=source)


def _stack(name: str, seconds: Mapping[str, float]) -> Stack:
    total = sum(seconds.values())
    parts = [
        Part(title, 1000 * seconds[stage], seconds[stage] / total if total else 0.0, emphasis=stage == INFERENCE)
        for stage, title in STAGES.items()
        if stage in seconds
    ]
    return Stack(name, 1000 * total, parts)


def _batches(runs: Iterable[Run]) -> Figure | None:
    """Mean size of the batches that dynamic batching formed: it differs by variant."""
    rows, variants = [], []
    for run in runs:
        for name, arm in run.arms.items():
            if run.images_per_request == 1 and arm.mean_batch_size is not None and run.scenario != "step":
                rows.append([run.title, name, significant(arm.mean_batch_size), f"{max(arm.batch_sizes):,}"])
                variants.append(name)
    if not rows:
        return None
    return Figure(
        "Batches that formed",
        DataTable(["Load", "Variant", "mean images, per request", "largest"], rows, list(variants)),
        "Dynamic batching forms larger batches for a slower variant; this is part of any difference under load.",
    )
