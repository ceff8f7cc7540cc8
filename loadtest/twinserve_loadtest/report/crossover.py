"""The section on where the gain ends: the speed-up over batch size, threads and offered rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import CrossoverMap, CrossoverRow, EffectRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import rate, significant, span, times

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import CrossoverCell
    from twinserve_loadtest.record.terms import Claim
    from twinserve_loadtest.report.inputs import Inputs

_CAPTION = (
    "Above 1: the candidate is faster. A cell has the colour of the faster variant, or none where the 95 % interval "
    "includes 1. The blocks are short, so the map is a guide, not a verdict."
)


def crossover_section(inputs: Inputs) -> Section:
    """One map for each comparison that has one."""
    figures = [
        Figure(
            f"{found.candidate} vs {found.baseline}",
            crossover_map(found.crossover, found.baseline, found.candidate),
            _CAPTION,
            source=label,
        )
        for label, record in inputs.labelled
        if (found := record.comparison) is not None and found.crossover
    ]
    missing = []
    if not figures:
        missing.append(
            "No crossover map was measured. `twinserve compare` measures the speed-up by batch size, threads and rate."
        )
    lead = "The speed-up by batch size, threads and offered rate."
    return Section("crossover", "Where it stops paying", lead, figures, missing)


def crossover_map(cells: list[CrossoverCell], baseline: str, candidate: str) -> CrossoverMap:
    """Cells as rows (threads, rate) x columns (batch size)."""
    batches = sorted({cell.batch_size for cell in cells})
    by_place = {(cell.threads, cell.offered_rate or 0.0, cell.metric, cell.batch_size): cell for cell in cells}
    rows = []
    for threads, offered, metric in sorted({place[:3] for place in by_place}):
        how = f"{rate(offered)} requests/s" if offered else "offline"
        found = [by_place.get((threads, offered, metric, batch)) for batch in batches]
        label = f"{_threads(threads)}, {how}, {metric}"
        rows.append(CrossoverRow(label, [_cell(cell, baseline, candidate) for cell in found]))
    known = sorted(
        ((cell.speedup.estimate, cell) for cell in cells if cell.speedup is not None), key=lambda pair: pair[0]
    )
    summary = f"Speed-up of {candidate} over {baseline} at {len(known)} points."
    if known:
        (least, worst), (most, best) = known[0], known[-1]
        summary += (
            f" Largest at batch {best.batch_size} on {_threads(best.threads)}: {times(most)};"
            f" smallest at batch {worst.batch_size} on {_threads(worst.threads)}: {times(least)}."
        )
    return CrossoverMap([f"batch {batch}" for batch in batches], rows, baseline, candidate, summary)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _cell(cell: CrossoverCell | None, baseline: str, candidate: str) -> EffectRow | None:
    if cell is None:
        return None
    found = cell.speedup
    if found is None:
        return EffectRow("", "", "", None, None, None, None, "unknown", "not measured", cell.note)
    side: Claim = "better" if found.low > 1 else "worse" if found.high < 1 else "none"
    detail = (
        f"{significant(cell.baseline)} ({baseline}), {significant(cell.candidate)} ({candidate}), {cell.pairs} pairs"
    )
    text = f"{times(found.estimate)} ({span(found.low, found.high)})"
    note = f"{detail}. {cell.note}".strip()
    return EffectRow("", "", "", found.estimate, found.low, found.high, None, side, text, note)
