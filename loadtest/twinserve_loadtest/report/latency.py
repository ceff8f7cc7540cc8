"""The section on latency: distributions under equal load, and every percentile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.terms import EQUAL_LOAD
from twinserve_loadtest.report.cdf import points_of_band, points_of_histogram
from twinserve_loadtest.report.content import Axis, DataTable, LineChart, Series
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.leads import join, listed
from twinserve_loadtest.report.numbers import DASH, milliseconds, significant
from twinserve_loadtest.report.scenarios import conditions_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.record.run import Arm, Run
    from twinserve_loadtest.report.content import Point
    from twinserve_loadtest.report.document import Loads, VariantRow
    from twinserve_loadtest.report.inputs import Inputs

NOT_VALID = "†"
_X = Axis("latency (ms)", "log")
_Y = Axis("requests answered within this time", "percentile")
_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
_RESAMPLED = "Band: 95 %, bootstrap over interleaved blocks."
_RANKED = "Band: 95 %, order statistics, which assume independent requests: too narrow on a noisy machine."


def latency_section(inputs: Inputs, rows: Sequence[VariantRow], loads: Loads) -> Section:
    """Distributions and the table of percentiles."""
    figures = [
        _figure(run, label)
        for label, record in inputs.labelled
        for run in record.runs.values()
        if run.scenario in EQUAL_LOAD and any(arm.latency.count for arm in run.arms.values())
    ]
    missing = [] if figures else ["No latency was measured under equal load: neither single stream nor open loop ran."]
    table = _table(inputs)
    if table.rows:
        caption = (
            "A dash: the sample is too small for that percentile (p99 needs 662 requests, p99.9 6,636). "
            "Closed-loop percentiles describe a saturated service that gave the faster variant more load: "
            "do not compare them."
        )
        if any(NOT_VALID in cell for row in table.rows for cell in row):
            caption += f" {NOT_VALID} The load generator, not the server, was the limit: see the caveats."
        figures.append(Figure("Percentiles, in milliseconds", table, caption))
    finding = join(
        listed(f"Median, {loads.latency}", rows, lambda row: row.served.p50_us, milliseconds),
        listed(f"p99, {loads.latency}", rows, lambda row: row.served.p99_us, milliseconds),
    )
    lead = "How long a caller waits, with every variant under the same load."
    return Section("latency", "Latency", lead, figures, missing, finding)


def _figure(run: Run, source: str) -> Figure:
    series = [Series(name, points) for name, arm in run.arms.items() if (points := _points(arm))]
    banded = any(arm.latency.band for arm in run.arms.values())
    texts = [f"{line.variant}: {', '.join(point.title for point in line.points if point.title)}" for line in series]
    return Figure(
        f"{run.title}: {conditions_of(run)}",
        LineChart(_X, _Y, series, "x", "Latency distribution. " + "; ".join(texts)),
        f"{_RESAMPLED} {run.pairs} pairs of blocks." if banded else _RANKED,
        run.problems("latency"),
        source,
    )


def _points(arm: Arm) -> list[Point]:
    if arm.latency.band:
        return points_of_band(arm.latency.band, arm.latency.count)
    return points_of_histogram(arm.latency.histogram)


def _table(inputs: Inputs) -> DataTable:
    rows: list[list[str]] = []
    variants: list[str | None] = []
    for record in inputs.measured:
        for run in record.runs.values():
            for name, arm in run.arms.items():
                if run.scenario in ("accuracy", "step") and len(record.runs) > 1:
                    continue
                mark = "" if run.is_valid(name, "latency") else NOT_VALID
                times = [arm.latency.at(percentile) for percentile in _PERCENTILES] + [arm.latency.max_us]
                cells = [DASH if us is None else f"{significant(us / 1000)}{mark}" for us in times]
                rows.append([run.title, name, *cells, f"{arm.requests:,}", f"{arm.failed:,}"])
                variants.append(name)
    return DataTable(["Load", "Variant", *_PERCENTILES, "max", "requests", "failed"], rows, variants)
