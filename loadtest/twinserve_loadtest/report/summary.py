"""A verdict as a page of Markdown, for the summary of a CI job or a comment on a merge request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.effects import CLAIMS, change, sampled
from twinserve_loadtest.report.numbers import DASH, span, times
from twinserve_loadtest.report.scenarios import effect_title

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twinserve_loadtest.compare.change import Change, EffectChange
    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Interval

_GATES = {"pass": "passed", "fail": "**failed**", "undecided": "**undecided**"}
_DIRECTIONS = {**CLAIMS, "none": "no change shown"}


def summary(record: Record, since: Change | None = None) -> str:
    """The verdict, its gates and effects, and, where there is an earlier comparison, what changed."""
    compared = record.comparison
    assert compared is not None
    verdict = compared.verdict
    grade = "" if verdict.decision_grade else " (not decision-grade)"
    parts = [
        f"## {verdict.outcome}{grade}: {compared.candidate} instead of {compared.baseline}",
        _cell(verdict.summary),
        _table(
            ("gate", "limit", "observed", ""),
            ([gate.name, gate.limit, gate.observed, _GATES[gate.outcome]] for gate in verdict.gates),
        ),
        _table(
            ("figure", f"{compared.baseline} → {compared.candidate}", "ratio (95 %)", ""),
            (
                [
                    effect_title(effect.scenario, effect.metric),
                    change(effect),
                    _ratio(effect.interval),
                    CLAIMS[effect.claim] if record.is_valid(effect) else "not valid",
                ]
                for effect in record.effects()
            ),
        ),
    ]
    if since is not None:
        parts += _since(since)
    parts += [f"- {_cell(remark.text)}" for remark in [*record.missing, *record.caveats]]
    machine = f"{record.stamp.cpu_model}, {record.stamp.isa}"
    parts.append(f"{record.dataset.line}. {machine}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def changes_in_words(since: Change) -> list[str]:
    """What changed, a line each; for a terminal."""
    lines = [f"Since {since.since}: {_outcome(since)}."]
    lines += [f"The measurements differ in {line}." for line in since.stamp]
    lines += [f"Gate {name}: {before} then, {now} now." for name, (before, now) in since.gates.items()]
    moved = [effect for effect in since.effects if effect.direction in ("better", "worse")]
    lines += [
        f"{_title(effect)}: {_ratio(effect.before)} then, {_ratio(effect.now)} now, {_ratio(effect.quotient)}: "
        f"{effect.direction}."
        for effect in moved
    ]
    if not moved:
        lines.append(f"None of the {len(since.effects)} figures shows a change.")
    if since.only_in_one:
        lines.append(f"In only one of the two: {', '.join(since.only_in_one)}.")
    return lines


def _since(since: Change) -> list[str]:
    warning = ""
    if since.stamp:
        listed = "\n".join(f"> - {_cell(line)}" for line in since.stamp)
        warning = f"> The two measurements differ in more than time:\n>\n{listed}"
    return [
        f"### Since {since.since}",
        f"{_outcome(since)}.",
        warning,
        _table(("gate", "then", "now"), ([name, *outcomes] for name, outcomes in since.gates.items())),
        _table(
            ("figure", "ratio then", "ratio now", "now / then (95 %)", ""),
            (
                [
                    _title(effect),
                    _ratio(effect.before),
                    _ratio(effect.now),
                    _ratio(effect.quotient),
                    _DIRECTIONS[effect.direction],
                ]
                for effect in since.effects
            ),
        ),
        f"In only one of the two: {', '.join(since.only_in_one)}." if since.only_in_one else "",
    ]


def _outcome(since: Change) -> str:
    if since.outcome == since.outcome_before:
        return f"still {since.outcome}"
    return f"{since.outcome_before} then, {since.outcome} now"


def _title(effect: EffectChange) -> str:
    return effect_title(effect.scenario, effect.metric)


def _ratio(interval: Interval | None) -> str:
    if interval is None:
        return DASH
    text = times(interval.estimate)
    return f"{text} ({span(interval.low, interval.high)})" if sampled(interval) else text


def _table(columns: tuple[str, ...], rows: Iterable[list[str]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines])


def _cell(text: str) -> str:
    """Text that cannot end its cell, nor become markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
