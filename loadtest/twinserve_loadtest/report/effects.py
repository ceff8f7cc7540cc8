"""The section on effects: every ratio of a comparison with its interval, beside what equal arms gave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, DataTable, EffectChart, EffectRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import DASH, megabytes, milliseconds, rate, significant, span, times
from twinserve_loadtest.report.scenarios import metric_title, scenario_title

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.findings import Effect, Interval
    from twinserve_loadtest.report.inputs import Inputs

_CLAIMS = {"better": "better", "worse": "worse", "none": "no difference shown", "unknown": "not known"}


def effects_section(inputs: Inputs) -> Section:
    """Speed-ups and cost ratios of every comparison, and its control."""
    figures = []
    for source, comparison in inputs.comparisons:
        label = source.name if inputs.several else ""
        effects = comparison.effects()
        figures += [
            figure
            for figure in (
                _figure(comparison, [effect for effect in effects if effect.kind == "speedup"], label),
                _figure(comparison, [effect for effect in effects if effect.kind == "ratio"], label),
                _control(comparison, label),
            )
            if figure is not None
        ]
    missing = []
    if not figures:
        missing.append(
            "A load test describes; it has no interleaved blocks, hence no intervals for a difference. "
            "`twinserve compare BASELINE CANDIDATE` measures them and gives a verdict."
        )
    return Section(
        "effects",
        "How sure",
        "Every difference with its 95 % interval, and what the noise alone can do.",
        figures,
        missing,
    )


def effect_title(effect: Effect) -> str:
    """``Open loop p99``, ``Artefact size``."""
    metric = metric_title(effect.metric)
    if effect.metric == "slo_rate" or not effect.scenario:
        return metric[:1].upper() + metric[1:]
    return f"{scenario_title(effect.scenario)}, {metric}"


def amount(effect: Effect, value: float | None) -> str:
    """One arm's figure in its unit."""
    if value is None:
        return DASH
    if effect.unit == "us":
        return milliseconds(value)
    if effect.unit == "bytes":
        return f"{value / 1024:,.0f} KB" if effect.metric == "artefact_bytes" else megabytes(value)
    if effect.unit.endswith("/s"):
        return f"{rate(value)} {effect.unit}"
    return f"{significant(value)} {'s' if effect.metric == 'cpu' else effect.unit}".strip()


def change(effect: Effect) -> str:
    """From the baseline's figure to the candidate's, the unit once: ``1.03 → 0.775 ms``."""
    before, after = (amount(effect, value) for value in (effect.baseline, effect.candidate))
    number, _, unit = before.partition(" ")
    return f"{number} → {after}" if unit and after.endswith(f" {unit}") else f"{before} → {after}"


def _figure(comparison: Comparison, effects: list[Effect], source: str) -> Figure | None:
    if not effects:
        return None
    speedup = effects[0].kind == "speedup"
    rows = [_row(effect, valid=comparison.is_valid(effect)) for effect in effects]
    pair = f"{comparison.candidate} against {comparison.baseline}"
    summary = "; ".join(f"{row.label}: {row.text} ({_CLAIMS[row.claim]})" for row in rows)
    return Figure(
        f"Speed-up, {pair}" if speedup else f"Cost ratio, {pair}",
        EffectChart(
            Axis("times faster" if speedup else "times the cost", "log"),
            rows,
            "higher" if speedup else "lower",
            comparison.baseline,
            comparison.candidate,
            summary,
        ),
        (
            "Right of 1: the candidate is faster. "
            if speedup
            else "Left of 1: the candidate takes less. Sizes are counted, not sampled: they have no interval. "
        )
        + "Line: 95 % interval. Grey: the noise floor, what two equal arms may differ by; nothing smaller is claimed.",
        source=source,
    )


def sampled(interval: Interval | None) -> bool:
    """Whether an interval is one: sizes are counted, and theirs has no width."""
    return interval is not None and not math.isclose(interval.low, interval.high, rel_tol=1e-9)


def _row(effect: Effect, *, valid: bool) -> EffectRow:
    found = effect.interval
    text = times(found.estimate if found else None)
    if found and sampled(found):
        text += f" ({span(found.low, found.high)})"
    return EffectRow(
        label=effect_title(effect),
        scenario=effect.scenario,
        change=change(effect),
        estimate=found.estimate if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        noise_floor=effect.noise_floor,
        claim=effect.claim if valid else "unknown",
        text=text,
        note=effect.note if valid else "the figure is not valid",
    )


def _control(comparison: Comparison, source: str) -> Figure | None:
    """The A/A control and the looks: why the intervals may be believed."""
    rows = []
    for run in comparison.scenarios.values():
        looks = f"{len(run.looks)}" if run.looks else DASH
        left_out = sum(1 for block in run.blocks if block.invalid)
        for effect in run.control:
            found = effect.interval
            rows.append(
                [
                    f"{scenario_title(run.name)}, {metric_title(effect.metric)}",
                    f"{times(found.estimate)} ({span(found.low, found.high)})" if found else DASH,
                    {"better": "a difference: suspect", "worse": "a difference: suspect"}.get(
                        effect.claim, "none found"
                    ),
                    f"{run.pairs:,}",
                    looks,
                    f"{left_out:,}",
                    run.stopped,
                ]
            )
    if not rows:
        return None
    columns = [
        "Measured",
        "A/A ratio (95 %)",
        "Difference claimed",
        "pairs",
        "looks",
        "blocks left out",
        "ended because",
    ]
    return Figure(
        f"Control: {comparison.baseline} against itself",
        DataTable(columns, rows),
        "The same design with the same arm on both sides. Its interval is the noise floor.",
        source=source,
    )
