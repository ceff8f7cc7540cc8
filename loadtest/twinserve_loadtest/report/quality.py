"""The accuracy section for a model without classes: mean losses, and the paired difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, DataTable, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure
from twinserve_loadtest.report.numbers import loss, loss_change, percent

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import Comparison, PairedQuality
    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Run

_CAPTION = "Dots: mean loss over the items of the test set (0 is best); whiskers: 95 %, Student."
_WORST = 10


def quality_figures(record: Record, source: str) -> list[Figure]:
    """Mean losses of a record's run over the test set, and the paired test where there is one."""
    run = record.runs.get("accuracy")
    if run is None or all(arm.quality is None for arm in run.arms.values()):
        return []
    figures = [_losses(run, record.model.metric, source)]
    if record.comparison is not None and record.comparison.quality is not None:
        figures.append(_paired(record.comparison, record.comparison.quality, source))
        if record.comparison.quality.worst:
            figures.append(_worst(record.comparison, record.comparison.quality, source))
    return figures


def quality_finding(compared: Comparison) -> str:
    """The difference in a sentence; empty: there is none."""
    found = compared.quality
    if found is None:
        return ""
    gap = found.difference
    return (
        f"Mean {found.metric} {_against(found)}: {compared.baseline} {loss(found.baseline.estimate)}, "
        f"{compared.candidate} {loss(found.candidate.estimate)} on {found.items:,} items; the difference is "
        f"{loss_change(gap.estimate)} ({loss_change(gap.low)} to {loss_change(gap.high)})."
    )


def _against(found: PairedQuality) -> str:
    return f"against the answers of {found.against}" if found.against else "against the expected outputs"


def _losses(run: Run, metric: str, source: str) -> Figure:
    rows, warnings = [], []
    for name, arm in run.arms.items():
        found = arm.quality
        if found is None:
            warnings.append(f"{name}: its quality was not measured")
            continue
        mean = found.loss
        text = f"{loss(mean.estimate)} ({loss(mean.low)} to {loss(mean.high)}), {found.items:,} items"
        rows.append(IntervalRow(name, name, mean.estimate, text, mean.low, mean.high))
        if found.coverage < 1:
            warnings.append(f"{name}: only {percent(found.coverage, 1)} of the test set was answered")
    summary = f"Mean {metric}. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
    return Figure(f"Loss, {metric}", IntervalChart(Axis(metric), rows, "dot", summary), _CAPTION, warnings, source)


def _paired(compared: Comparison, found: PairedQuality, source: str) -> Figure:
    gap = found.difference
    verdict = "within" if gap.high <= found.margin else "beyond" if gap.low > found.margin else "not shown to be within"
    words = f", {found.margin_words}" if found.margin_words else ""
    rows = [
        ["Items answered by both", f"{found.items:,}"],
        [f"Mean {found.metric} of {compared.baseline}", loss(found.baseline.estimate)],
        [f"Mean {found.metric} of {compared.candidate}", loss(found.candidate.estimate)],
        [
            f"Difference, {compared.candidate} minus {compared.baseline}",
            f"{loss_change(gap.estimate)} (95 %: {loss_change(gap.low)} to {loss_change(gap.high)}, Student, paired)",
        ],
        ["Compared with", (found.against and f"the answers of {found.against}") or "the test set's expected outputs"],
        ["Is the loss acceptable?", f"{verdict} the margin of {loss(found.margin)}{words}"],
    ]
    return Figure("Paired, item by item", DataTable(["Outcome", "Found"], rows, wrap=True), "", source=source)


def _worst(compared: Comparison, found: PairedQuality, source: str) -> Figure:
    rows = [[f"{item.index:,}", loss(item.baseline), loss(item.candidate)] for item in found.worst[:_WORST]]
    table = DataTable(["Item of the test set", compared.baseline, compared.candidate], rows)
    return Figure("Where the variants differ most", table, f"{found.metric} by item, counted from 0.", source=source)
