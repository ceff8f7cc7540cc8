"""The section on throughput: images per second, with intervals where blocks were repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twinserve_loadtest.record.blocks import whole_units
from twinserve_loadtest.report.content import Axis, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.leads import listed
from twinserve_loadtest.report.numbers import rate
from twinserve_loadtest.report.scenarios import conditions_of
from twinserve_loadtest.statistics.bootstrap import rate_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Interval, Run
    from twinserve_loadtest.report.document import Loads, VariantRow
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("images per second")
_LEAST_UNITS = 5
_SATURATING = ("offline", "closed")


def throughput_section(inputs: Inputs, rows: Sequence[VariantRow], loads: Loads) -> Section:
    """Offline first; the closed loop of a load test beside it."""
    figures = [
        _figure(record, run, label)
        for label, record in inputs.labelled
        for run in record.runs.values()
        if run.scenario in _SATURATING and run.arms
    ]
    missing = [] if figures else ["No throughput was measured: neither the offline nor the closed-loop scenario ran."]
    finding = listed(
        f"Images per second, {loads.throughput}", rows, lambda row: row.served.images_per_second.value, rate
    )
    lead = "How much work each variant gets done when kept busy."
    return Section("throughput", "Throughput", lead, figures, missing, finding)


def throughput_interval(record: Record, run: Run, arm: str) -> Interval | None:
    """95 % interval of an arm's images per second, from its whole units; None with too few of them."""
    if record.comparison is None:
        return None
    role = "baseline" if arm == record.comparison.baseline else "candidate"
    units = whole_units(run.blocks, run.scenario, "main").values()
    if len(units) < _LEAST_UNITS:
        return None
    sums = [np.sum([(block.images, block.seconds) for block in unit[role]], axis=0) for unit in units]  # type: ignore[index]
    return rate_interval(np.array(sums, np.float64), np.random.default_rng(1))


def _figure(record: Record, run: Run, source: str) -> Figure:
    rows = []
    for name, arm in run.arms.items():
        found = throughput_interval(record, run, name)
        text = f"{rate(arm.images_per_second)} images/s"
        low, high = (found.low, found.high) if found else (None, None)
        text += f" ({rate(low)} to {rate(high)})" if found else ""
        struck = not run.is_valid(name, "throughput")
        rows.append(IntervalRow(name, name, arm.images_per_second, text, low, high, struck))
    return Figure(
        f"{run.title}: {conditions_of(run)}",
        IntervalChart(_AXIS, rows, "bar", "Throughput. " + "; ".join(f"{row.label}: {row.text}" for row in rows)),
        "Whiskers: 95 %, bootstrap over whole units of four blocks."
        if record.comparison
        else "No interval: a load test runs too few blocks. `twinserve compare` measures one.",
        run.problems("throughput"),
        source,
    )
