"""The verdict: SHIP, DO NOT SHIP or NOT ENOUGH EVIDENCE, gate by gate, with how much more would decide.

A gate passes when the whole interval lies on the right side of its limit, fails when the whole interval lies
on the wrong side, and is open otherwise: no difference found is never taken for no difference. All gates must
pass for SHIP, which needs no correction for their number (an intersection-union test: Berger (1982),
Technometrics 24(4), 295-300).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scipy import stats

from twinserve_loadtest.compare.accuracy import counts_of
from twinserve_loadtest.compare.design import PAIRS_PER_UNIT
from twinserve_loadtest.compare.effects import side_of
from twinserve_loadtest.compare.gates import Gate
from twinserve_loadtest.record.comparison import (
    GateOutcome,
    GateResult,
    PairedAccuracy,
    PairedQuality,
    Verdict,
    VerdictOutcome,
)
from twinserve_loadtest.record.run import Effect, Interval
from twinserve_loadtest.statistics.paired import more_images, more_units, wilson_interval


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence for judging the gates."""

    effects: Sequence[Effect]
    accuracy: PairedAccuracy | None
    #: The candidate's failed and sent requests in the measured blocks.
    candidate_errors: tuple[int, int]
    #: (scenario, metric) -> (standard error, units, confidence of the last look), for planning.
    errors: Mapping[tuple[str, str], tuple[float, int, float]] = field(default_factory=dict)
    #: Scenario -> why its figures must not be used.
    invalid: Mapping[str, str] = field(default_factory=dict)
    #: Why no gate can be judged at all; empty: they can.
    spoiled: str = ""
    #: Of a model without classes.
    quality: PairedQuality | None = None


def judge(
    gates: Sequence[Gate],
    evidence: Evidence,
    *,
    candidate: str,
    isa: str,
    decision_grade: bool,
    confidence: float = 0.95,
) -> Verdict:
    """Judge the gates by the evidence."""
    results = [judge_gate(gate, evidence, confidence) for gate in gates]
    failed = [result for result in results if result.outcome == "fail"]
    undecided = [result for result in results if result.outcome == "undecided"]
    outcome: VerdictOutcome = "DO NOT SHIP" if failed else "NOT ENOUGH EVIDENCE" if undecided else "SHIP"
    told = failed or undecided or results
    passed = len(results) - len(failed) - len(undecided)
    summary = f"{outcome}: {candidate} passes {passed} of {len(results)} gates"
    summary += f", fails {len(failed)}" if failed else ""
    summary += f", {len(undecided)} undecided" if undecided else ""
    summary += "."
    if not decision_grade:
        summary += " Not decision-grade: a quick or an interrupted run."
    return Verdict(outcome, summary, [result.reason for result in told], results, isa, decision_grade)


def judge_gate(gate: Gate, evidence: Evidence, confidence: float = 0.95) -> GateResult:
    """One gate."""
    if evidence.spoiled:
        return _result(gate, "undecided", "not valid", f"{gate.rule.meaning}: {evidence.spoiled}")
    if gate.rule.kind == "points":
        return _judge_accuracy(gate, evidence.accuracy)
    if gate.rule.kind == "quality":
        return _judge_quality(gate, evidence.quality)
    if gate.rule.kind == "share":
        return _judge_errors(gate, *evidence.candidate_errors, confidence)
    effect = next(
        (e for e in evidence.effects if e.metric == gate.rule.metric and gate.rule.scenario in ("", e.scenario)), None
    )
    bad = evidence.invalid.get(gate.rule.scenario, "")
    if effect is None or effect.interval is None:
        why = (effect.note if effect is not None else "") or "it was not measured"
        return _result(gate, "undecided", "not measured", f"{gate.rule.meaning}: {why}")
    judged = _judge_ratio(gate, effect, evidence.errors.get((effect.scenario, effect.metric)))
    if bad and not (judged.outcome == "pass" and gate.rule.kind == "speedup" and gate.threshold >= 1):
        # A generator's own time adds to both arms and pulls their ratio towards 1: a speed-up that passes in spite of
        # this passes; everything else is unknown.
        return _result(gate, "undecided", _factor(effect), f"{gate.rule.meaning}: not valid: {bad}", effect.interval)
    return judged


def _judge_ratio(gate: Gate, effect: Effect, error: tuple[float, int, float] | None) -> GateResult:
    found = effect.interval
    assert found is not None
    if found.low == found.high:  # a size: counted, not estimated
        side = 1 if found.estimate > gate.threshold else -1 if found.estimate < gate.threshold else 0
        good = side <= 0 if gate.rule.kind == "ratio" else side >= 0
        outcome: GateOutcome = "pass" if good else "fail"
        return _result(
            gate, outcome, _factor(effect), f"{gate.rule.meaning}: {_factor(effect)}, required {gate.limit}", found
        )
    side = side_of(gate.threshold, found.estimate, found.low, found.high, effect.noise_floor)
    wanted = 1 if gate.rule.kind == "speedup" else -1
    text = f"{gate.rule.meaning}: {_factor(effect)}, required {gate.limit}"
    if side != 0:
        return _result(gate, "pass" if side == wanted else "fail", _factor(effect), text, found)
    more = _more_pairs(gate.threshold, effect, error)
    if not found.low <= gate.threshold <= found.high:
        noise = 100 * ((effect.noise_floor or 1) - 1)
        text += f"; the distance to the limit is within the noise floor of +/- {noise:.1f} %"
    text += (
        f"; about {more:,} more pairs would decide" if more else "; it lies on the limit: more pairs would not decide"
    )
    return _result(gate, "undecided", _factor(effect), text, found, more, "pairs")


def _more_pairs(limit: float, effect: Effect, error: tuple[float, int, float] | None) -> int | None:
    """Pairs until the interval and the noise floor both fall short of the distance to the limit."""
    assert effect.interval is not None
    gap = abs(math.log(effect.interval.estimate / limit))
    if error is None or gap == 0:
        return None
    standard_error, units, confidence = error
    by_interval = more_units(standard_error, gap, units, confidence)
    if by_interval is None:
        return None
    floor = math.log(effect.noise_floor or 1.0)
    by_floor = math.ceil(units * (floor / gap) ** 2) - units if floor >= gap else 0
    return PAIRS_PER_UNIT * max(by_interval, by_floor)


def _judge_accuracy(gate: Gate, accuracy: PairedAccuracy | None) -> GateResult:
    if accuracy is None:
        return _result(gate, "undecided", "not measured", f"{gate.rule.meaning}: it was not measured")
    found = accuracy.difference
    observed = f"{100 * found.estimate:+.2f} pp ({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    text = f"{gate.rule.meaning}: {observed} on {accuracy.images:,} images, allowed loss {gate.limit}"
    more = None
    if found.low > -gate.threshold:
        outcome: GateOutcome = "pass"
    elif found.high < -gate.threshold:
        outcome = "fail"
    else:
        outcome = "undecided"
        more = more_images(counts_of(accuracy), -gate.threshold, found.confidence)
        text += f"; about {more:,} more test images would decide" if more else "; it lies on the limit"
    return _result(gate, outcome, observed, text, found, more, "images", threshold=-gate.threshold)


def _judge_quality(gate: Gate, quality: PairedQuality | None) -> GateResult:
    if quality is None:
        return _result(gate, "undecided", "not measured", f"{gate.rule.meaning}: it was not measured")
    found, limit = quality.difference, quality.margin
    words = f" ({quality.margin_words})" if quality.margin_words else ""
    shown = f"<= {limit:.3g}{words}"
    observed = f"{found.estimate:+.3g} ({found.low:+.3g} to {found.high:+.3g})"
    against = f"the answers of {quality.against}" if quality.against else "the expected outputs"
    text = (
        f"mean {quality.metric} against {against}: {observed} on {quality.items:,} items, from "
        f"{quality.baseline.estimate:.3g}, allowed {shown}"
    )
    more = None
    if found.confidence and found.high <= limit:
        outcome: GateOutcome = "pass"
    elif found.confidence and found.low > limit:
        outcome = "fail"
    else:
        outcome, gap = "undecided", abs(limit - found.estimate)
        if found.confidence and gap:
            # The interval narrows with the root of the number of items.
            more = math.ceil(quality.items * (((found.high - found.low) / 2 / gap) ** 2 - 1)) or None
        text += f"; about {more:,} more items would decide" if more else "; too few items to tell"
    return _result(gate, outcome, observed, text, found, more, "items", limit=shown, threshold=limit)


def _judge_errors(gate: Gate, failed: int, sent: int, confidence: float) -> GateResult:
    if sent == 0:
        return _result(gate, "undecided", "not measured", f"{gate.rule.meaning}: no request was sent")
    found = wilson_interval(failed, sent, confidence)
    observed = f"{failed:,} of {sent:,} ({100 * found.low:.3f} to {100 * found.high:.3f} %)"
    text = f"{gate.rule.meaning}: {observed}, allowed {gate.limit}"
    more = None
    if found.high <= gate.threshold:
        outcome: GateOutcome = "pass"
    elif found.low > gate.threshold:
        outcome = "fail"
    else:
        outcome = "undecided"
        if failed == 0:  # Wilson's upper end without a failure is z^2 / (n + z^2)
            z = float(stats.norm.isf((1 - confidence) / 2))
            more = math.ceil(z * z * (1 / gate.threshold - 1)) - sent
        else:
            spread = math.sqrt(found.estimate * (1 - found.estimate) / sent)
            more = more_units(spread, found.estimate - gate.threshold, sent, confidence)
        text += f"; about {more:,} more requests would decide" if more else "; it lies on the limit"
    return _result(gate, outcome, observed, text, found, more, "requests")


def _factor(effect: Effect) -> str:
    found = effect.interval
    if found is None:
        return "not measured"
    if found.low == found.high:
        return f"{found.estimate:.2f}x"
    return f"{found.estimate:.2f}x ({found.low:.2f} to {found.high:.2f})"


def _result(
    gate: Gate,
    outcome: GateOutcome,
    observed: str,
    reason: str,
    found: Interval | None = None,
    more: int | None = None,
    unit: str = "",
    *,
    limit: str | None = None,
    threshold: float | None = None,
) -> GateResult:
    return GateResult(
        name=gate.name,
        limit=gate.limit if limit is None else limit,
        observed=observed,
        outcome=outcome,
        reason=reason,
        value=found.estimate if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        threshold=gate.threshold if threshold is None else threshold,
        more_samples=more,
        more_samples_unit=unit,
    )
