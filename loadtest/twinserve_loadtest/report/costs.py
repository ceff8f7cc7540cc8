"""The section on what a variant costs: memory, file, CPU time, energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, DataTable, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.leads import listed
from twinserve_loadtest.report.numbers import MEBIBYTE, megabytes, significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.report.document import VariantRow
    from twinserve_loadtest.report.inputs import Inputs

_MEMORY = Axis("MB")
_ADDED = "What the model adds to a process"
_WHOLE = "The whole model process"
_PARAMETERS = "Parameters"
_STAGES = {
    "load": "loaded",
    "first_inference": "first inference",
    "batch_limit": "a full batch",
    "warm_up": "every batch size",
}
_CAPTIONS = {
    _ADDED: "Anonymous memory beyond that of the same process without the model, after a full batch.",
    _WHOLE: "Proportional set size (PSS) of the model processes, interpreter and libraries included.",
    _PARAMETERS: "Weights as held in memory, packed ones included.",
}


def costs_section(inputs: Inputs, rows: Sequence[VariantRow]) -> Section:
    """Memory by variant, then CPU seconds and energy by scenario."""
    figures = [_memory(title, sizes) for title, sizes in _sizes(inputs, rows).items() if sizes]
    missing = []
    if not figures:
        missing.append(
            "Memory was not measured: the server's /metrics was not read. Give the load test its --metrics-url."
        )
    figures += _by_stage(inputs)
    figures += [
        _chart(
            f"CPU seconds per 1,000 images, {title.lower()}",
            Axis("CPU seconds per 1,000 images"),
            [IntervalRow(name, name, value, f"{significant(value)} s") for name, value in by_variant.items()],
            "CPU time of the variant's model processes.",
        )
        for title, by_variant in _by_scenario(inputs, "cpu_seconds_per_1000_images").items()
    ]
    figures += [
        _chart(
            f"Joules per 1,000 images, {title.lower()}",
            Axis("J per 1,000 images"),
            [IntervalRow(name, name, value, f"{significant(value)} J") for name, value in by_variant.items()],
            "Energy of the whole machine, load generator included, while the variant was under load.",
        )
        for title, by_variant in _by_scenario(inputs, "joules_per_1000_images").items()
    ]
    finding = listed("Memory added by the model", rows, lambda row: row.served.added_bytes, megabytes)
    lead = "What each variant costs to run."
    return Section("costs", "Memory and CPU", lead, figures, missing, finding)


def _sizes(inputs: Inputs, rows: Sequence[VariantRow]) -> dict[str, dict[str, float]]:
    """Figure → variant → bytes; the first input that knows a figure wins."""
    added = {row.label: row.served.added_bytes for row in rows if row.served.added_bytes is not None}
    sizes: dict[str, dict[str, float]] = {_ADDED: added, _WHOLE: {}, _PARAMETERS: {}}
    for variant in inputs.variants():
        memory = variant.memory
        if memory is not None and memory.resident_pss is not None:
            sizes[_WHOLE].setdefault(variant.name, memory.resident_pss)
        if memory is not None and memory.parameter_bytes is not None:
            sizes[_PARAMETERS].setdefault(variant.name, memory.parameter_bytes)
    return sizes


def _memory(title: str, sizes: dict[str, float]) -> Figure:
    rows = [IntervalRow(name, name, size / MEBIBYTE, megabytes(size)) for name, size in sizes.items()]
    return _chart(title, _MEMORY, rows, _CAPTIONS[title])


def _by_stage(inputs: Inputs) -> list[Figure]:
    """What each model adds from loading to full warmth."""
    told: dict[str, dict[str, float]] = {}
    for variant in inputs.variants():
        if variant.memory is not None and variant.memory.added_by_stage:
            told.setdefault(variant.name, variant.memory.added_by_stage)
    stages = [stage for stage in _STAGES if any(stage in values for values in told.values())]
    if not stages:
        return []
    rows = [[name, *(megabytes(values.get(stage)) for stage in stages)] for name, values in told.items()]
    table = DataTable(["Variant", *(_STAGES[stage] for stage in stages)], rows, [row[0] for row in rows])
    return [Figure(f"{_ADDED}, step by step", table, "Cumulative. Every batch size is warmed up before serving.")]


def _by_scenario(inputs: Inputs, figure: str) -> dict[str, dict[str, float]]:
    """Scenario → variant → a figure of :class:`Arm`, where it is known."""
    found: dict[str, dict[str, float]] = {}
    for record in inputs.measured:
        for run in record.runs.values():
            for name, arm in run.arms.items():
                if (value := getattr(arm, figure)) is not None and run.scenario != "accuracy":
                    found.setdefault(run.title, {}).setdefault(name, value)
    return found


def _chart(title: str, axis: Axis, rows: list[IntervalRow], caption: str) -> Figure:
    summary = f"{title}. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
    return Figure(title, IntervalChart(axis, rows, "bar", summary), caption)
