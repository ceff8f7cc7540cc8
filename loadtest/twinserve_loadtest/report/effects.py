"""The section on effects: every ratio of a comparison with its interval, beside what equal arms gave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinserve_host.sizes import kilobytes
from twinserve_loadtest.report.content import Axis, DataTable, EffectChart, EffectRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import DASH, megabytes, milliseconds, rate, significant, span, times
from twinserve_loadtest.report.scenarios import effect_title

if TYPE_CHECKING:
    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Effect, Interval
    from twinserve_loadtest.report.inputs import Inputs

CLAIMS = {"better": "better", "worse": "worse", "none": "no difference shown", "unknown": "unknown"}
_ENDED = {"precise": "at the precision asked for", "time": "when time ran out"}


def effects_section(inputs: Inputs) -> Section:
    """Speed-ups and cost ratios of every comparison, and its control."""
    figures: list[Figure] = []
    for label, record in inputs.labelled:
        if record.comparison is not None:
            effects = record.effects()
            speedups = [effect for effect in effects if effect.kind == "speedup"]
            costs = [effect for effect in effects if effect.kind == "ratio"]
            found = (_figure(record, speedups, label), _figure(record, costs, label), _control(record, label))
            figures += [figure for figure in found if figure is not None]
    missing = []
    if not figures:
        missing.append(
            "A load test does not interleave its blocks, so its differences have no intervals. "
            "`twinserve compare BASELINE CANDIDATE` measures intervals and gives a verdict."
        )
    lead = "Every difference with its 95 % interval, beside the difference that noise alone can cause."
    return Section("effects", "How sure", lead, figures, missing)


def amount(effect: Effect, value: float | None) -> str:
    """One arm's figure in its unit."""
    if value is None:
        return DASH
    if effect.unit == "us":
        return milliseconds(value)
    if effect.unit == "bytes":
        return f"{kilobytes(value)} KB" if effect.metric == "artefact_bytes" else megabytes(value)
    if effect.unit.endswith("/s"):
        return f"{rate(value)} {effect.unit}"
    return f"{significant(value)} {'s' if effect.metric == 'cpu' else effect.unit}".strip()


def change(effect: Effect) -> str:
    """From the baseline's figure to the candidate's, the unit once: ``1.03 → 0.775 ms``."""
    before, after = (amount(effect, value) for value in (effect.baseline, effect.candidate))
    number, _, unit = before.partition(" ")
    return f"{number} → {after}" if unit and after.endswith(f" {unit}") else f"{before} → {after}"


def _figure(record: Record, effects: list[Effect], source: str) -> Figure | None:
    compared = record.comparison
    if not effects or compared is None:
        return None
    speedup = effects[0].kind == "speedup"
    rows = [_row(effect, valid=record.is_valid(effect)) for effect in effects]
    pair = f"{compared.candidate} vs {compared.baseline}"
    summary = "; ".join(f"{row.label}: {row.text} ({CLAIMS[row.claim]})" for row in rows)
    return Figure(
        f"Speed-up, {pair}" if speedup else f"Cost ratio, {pair}",
        EffectChart(
            Axis("times faster" if speedup else "times the cost", "log"),
            rows,
            "higher" if speedup else "lower",
            compared.baseline,
            compared.candidate,
            summary,
        ),
        (
            "Right of 1: the candidate is faster. "
            if speedup
            else "Left of 1: the candidate takes less. Sizes are counted, not sampled, so they have no interval. "
        )
        + "Line: 95 % interval. Grey: the noise floor, by which two identical arms may differ; no smaller difference "
        "is claimed.",
        source=source,
    )


def sampled(interval: Interval | None) -> bool:
    """Whether an interval has a width: sizes are counted and have none."""
    return interval is not None and not math.isclose(interval.low, interval.high, rel_tol=1e-9)


def _row(effect: Effect, *, valid: bool) -> EffectRow:
    found = effect.interval
    text = times(found.estimate if found else None)
    if found and sampled(found):
        text += f" ({span(found.low, found.high)})"
    return EffectRow(
        label=effect_title(effect.scenario, effect.metric),
        scenario=effect.scenario,
        change=change(effect),
        estimate=found.estimate if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        noise_floor=effect.noise_floor,
        claim=effect.claim if valid else "unknown",
        text=text,
        note=effect.note if valid else "the figure is not valid",
        invalid=not valid,
    )


def _control(record: Record, source: str) -> Figure | None:
    """The A/A control and the looks: why the intervals may be believed."""
    rows = []
    for run in record.runs.values():
        left_out = sum(1 for block in run.blocks if block.invalid)
        for effect in run.control:
            found = effect.interval
            rows.append(
                [
                    effect_title(effect.scenario, effect.metric),
                    f"{times(found.estimate)} ({span(found.low, found.high)})" if found else DASH,
                    "yes: suspect" if effect.claim in ("better", "worse") else "no",
                    f"{run.pairs:,}",
                    f"{len(run.looks)}" if run.looks else DASH,
                    f"{left_out:,}",
                    _ENDED.get(run.stopped, run.stopped),
                ]
            )
    if not rows:
        return None
    columns = ["Figure", "A/A ratio (95 %)", "Difference claimed", "pairs", "looks", "blocks left out", "ended"]
    return Figure(
        f"Control: {record.baseline} against itself",
        DataTable(columns, rows),
        "The same design with the same variant on both sides; the interval it finds sets the noise floor.",
        source=source,
    )
