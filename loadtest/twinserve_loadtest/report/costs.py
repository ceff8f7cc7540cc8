"""The section on what a variant costs: memory, file, CPU time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, DataTable, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import MEBIBYTE, megabytes, significant
from twinserve_loadtest.report.scenarios import scenario_title
from twinserve_loadtest.report.served import served_by_variant

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    _ADDED: "Anonymous memory (PSS) gained over the same process without the model, after a full batch.",
    _WHOLE: "Proportional set size (PSS) of the model processes, interpreter and libraries included.",
    _PARAMETERS: "Weights as they lie in memory, packed ones included.",
}


def costs_section(inputs: Inputs) -> Section:
    """Memory by variant, then CPU seconds by scenario."""
    figures = [_memory(title, sizes) for title, sizes in _sizes(inputs).items() if sizes]
    missing = []
    if not figures:
        missing.append(
            "Memory was not measured: the server's /metrics was not read (give the load test its --metrics address)."
        )
    figures += _by_stage(inputs)
    cpu = _cpu(inputs)
    figures += [
        _chart(
            f"CPU seconds per 1,000 images, {scenario_title(scenario).lower()}",
            Axis("CPU seconds per 1,000 images"),
            [IntervalRow(name, name, value, f"{significant(value)} s") for name, value in by_variant.items()],
            "CPU time of the variant's model processes.",
        )
        for scenario, by_variant in cpu.items()
    ]
    return Section("costs", "Memory and CPU", "What each variant takes while it serves.", figures, missing)


def _sizes(inputs: Inputs) -> dict[str, dict[str, float]]:
    """Figure → variant → bytes; the first input that knows a figure wins."""
    added = {name: served.added_bytes for name, served in served_by_variant(inputs).items()}
    sizes: dict[str, dict[str, float]] = {_ADDED: {}, _WHOLE: {}, _PARAMETERS: {}}
    for name, value in added.items():
        _put(sizes[_ADDED], name, value)
    for comparison in inputs.compared:
        for name, found in comparison.resources.items():
            _put(sizes[_WHOLE], name, found.process_pss_bytes)
            _put(sizes[_PARAMETERS], name, found.parameter_bytes)
    for results in inputs.results:
        for name, about in results.model.variants.items():
            if about.memory is not None:
                _put(sizes[_WHOLE], name, about.memory.resident_pss)
                _put(sizes[_PARAMETERS], name, about.memory.parameter_bytes)
    return sizes


def _put(sizes: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        sizes.setdefault(name, float(value))


def _memory(title: str, sizes: dict[str, float]) -> Figure:
    rows = [IntervalRow(name, name, size / MEBIBYTE, megabytes(size)) for name, size in sizes.items()]
    return _chart(title, _MEMORY, rows, _CAPTIONS[title])


def _by_stage(inputs: Inputs) -> list[Figure]:
    """What each model adds from loading to full warmth."""
    told: dict[str, Mapping[str, float]] = {}
    for comparison in inputs.compared:
        for name, found in comparison.resources.items():
            told.setdefault(name, found.added_bytes)
    for results in inputs.results:
        for name, about in results.model.variants.items():
            if about.memory is not None:
                told.setdefault(name, about.memory.added_by_stage)
    stages = [stage for stage in _STAGES if any(stage in values for values in told.values())]
    if not stages:
        return []
    rows = [[name, *(megabytes(values.get(stage)) for stage in stages)] for name, values in told.items() if values]
    table = DataTable(["Variant", *(_STAGES[stage] for stage in stages)], rows, [row[0] for row in rows])
    return [Figure(f"{_ADDED}, step by step", table, "Cumulative. Every batch size is warmed before a variant serves.")]


def _cpu(inputs: Inputs) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for comparison in inputs.compared:
        for name, resources in comparison.resources.items():
            for scenario, value in resources.cpu_seconds_per_1000_images.items():
                found.setdefault(scenario, {}).setdefault(name, value)
    return found


def _chart(title: str, axis: Axis, rows: list[IntervalRow], caption: str) -> Figure:
    summary = f"{title}. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
    return Figure(title, IntervalChart(axis, rows, "bar", summary), caption)
