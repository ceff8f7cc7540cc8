"""The answer on top of a report: the verdict of a comparison, or the one sentence of a load test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_host.sizes import kilobytes
from twinserve_loadtest.record.run import Answers, Effect, Interval
from twinserve_loadtest.report.document import GateLine, Headline, Tile, Tone
from twinserve_loadtest.report.effects import change, sampled
from twinserve_loadtest.report.numbers import DASH, loss, loss_change, percent, points, span, times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twinserve_loadtest.record.comparison import Comparison, PairedQuality, Verdict
    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Arm
    from twinserve_loadtest.record.terms import Figure, Scenario

Effects = dict[tuple[str, str], Effect]
"""By scenario and metric."""

_TONES: dict[str, Tone] = {"SHIP": "good", "DO NOT SHIP": "bad", "NOT ENOUGH EVIDENCE": "open"}
_CLAIMS: dict[str, Tone] = {"better": "good", "worse": "bad"}
#: (scenario, metric, label) of a comparison's tiles, the first of each group that was measured.
_COMPARED = (
    (("single-stream", "p50", "p50, one in flight"), ("open", "p50", "p50, open loop")),
    (("open", "p99", "p99, open loop"), ("single-stream", "p90", "p90, one in flight")),
    (("offline", "throughput", "Throughput"),),
    (("", "added_bytes", "Memory added"), ("", "process_pss_bytes", "Process memory")),
)
#: Of a load test's tiles; percentiles of the closed loop are never compared.
_TESTED: tuple[tuple[Scenario, str, str], ...] = (
    ("single-stream", "p50", "p50, one in flight"),
    ("single-stream", "p99", "p99, one in flight"),
    ("open", "p99", "p99, open loop"),
    ("offline", "throughput", "Throughput"),
)


def headlines(record: Record) -> list[Headline]:
    """The verdict of a comparison, or a sentence for every variant of a load test beside the baseline."""
    if record.comparison is not None:
        return [_of_comparison(record, record.comparison)]
    return [_of_load_test(record, name) for name in record.model.variants if name != record.baseline]


def _of_comparison(record: Record, compared: Comparison) -> Headline:
    verdict = compared.verdict
    return Headline(
        candidate=compared.candidate,
        baseline=compared.baseline,
        outcome=verdict.outcome,
        sentence=verdict.summary.removeprefix(f"{verdict.outcome}: "),
        # The reason of a gate is already shown beside it.
        reasons=[reason for reason in verdict.reasons if all(reason != gate.reason for gate in verdict.gates)],
        tiles=_tiles(record, compared),
        gates=_gates(verdict),
        footnote="✓ better, ✗ worse, ~ no difference beyond the noise; second line: 95 % interval.",
        tone=_TONES[verdict.outcome],
    )


def _of_load_test(record: Record, candidate: str) -> Headline:
    effects = _ratios(record, candidate)
    before, after = (record.model.variants[name].artefact_bytes for name in (record.baseline, candidate))
    tiles = [Tile("Size", times(after / before), f"{kilobytes(before)} → {kilobytes(after)} KB")] if before else []
    shares = _shares(record, candidate)
    if shares is not None:
        first, second = shares
        tiles.append(Tile("Accuracy", points(second - first), f"{percent(first)} → {percent(second)}"))
    tiles += [
        Tile(label, times(effect.interval.estimate), change(effect))
        for scenario, metric, label in _TESTED
        if (effect := effects.get((scenario, metric))) is not None and effect.interval is not None
    ]
    return Headline(
        candidate=candidate,
        baseline=record.baseline,
        outcome=None,
        sentence=_sentence(record, candidate, effects),
        reasons=[],
        tiles=tiles,
        gates=[],
        footnote=(
            "A load test has no intervals and gives no verdict; for those, run "
            f"`twinserve compare {record.baseline} {candidate}`."
        ),
    )


def _tiles(record: Record, compared: Comparison) -> list[Tile]:
    effects: Effects = {(effect.scenario, effect.metric): effect for effect in record.effects()}
    tiles = []
    size = effects.get(("", "artefact_bytes"))
    if size is not None:
        tiles.append(_effect_tile("Size", size))
    found, run = compared.accuracy, record.runs.get("accuracy")
    if found is not None and run is not None:
        gap = found.difference
        tone: Tone = "bad" if gap.high < -found.margin else "good" if found.non_inferior else "open"
        shares = " → ".join(percent(arm.answers.share.estimate) for arm in run.arms.values() if arm.answers)
        interval = f"{points(gap.low).removesuffix(' pp')} to {points(gap.high)}"
        tiles.append(Tile("Accuracy", points(gap.estimate), shares, tone, interval))
    if (quality := compared.quality) is not None:
        tiles.append(_quality_tile(quality))
    for group in _COMPARED:
        for scenario, metric, label in group:
            effect = effects.get((scenario, metric))
            if effect is not None and effect.interval is not None and record.is_valid(effect):
                tiles.append(_effect_tile(label, effect))
                break
        else:
            tiles.append(Tile(group[0][2], DASH, "not measured or not valid: see below", "open"))
    return tiles


def _quality_tile(found: PairedQuality) -> Tile:
    gap = found.difference
    tone: Tone = "bad" if gap.low > found.margin else "good" if gap.high <= found.margin else "open"
    change_text = f"{loss(found.baseline.estimate)} → {loss(found.candidate.estimate)}"
    interval = f"{loss_change(gap.low)} to {loss_change(gap.high)}"
    return Tile(f"Loss, {found.metric}", loss_change(gap.estimate), change_text, tone, interval)


def _effect_tile(label: str, effect: Effect) -> Tile:
    found = effect.interval
    value = times(found.estimate if found else None)
    interval = span(found.low, found.high) if found is not None and sampled(found) else ""
    return Tile(label, value, change(effect), _CLAIMS.get(effect.claim, "open"), interval)


def _gates(verdict: Verdict) -> list[GateLine]:
    return [
        GateLine(
            gate.name,
            gate.limit,
            gate.observed,
            gate.outcome,
            gate.reason,
            f"about {gate.more_samples:,} more {gate.more_samples_unit or 'samples'}" if gate.more_samples else "",
        )
        for gate in verdict.gates
    ]


def _ratios(record: Record, candidate: str) -> Effects:
    """A load test's speed-ups, of valid figures alone: one look at each variant, hence without intervals or claims."""
    found: Effects = {}
    for scenario, metric, _ in _TESTED:
        figure: Figure = "throughput" if metric == "throughput" else "latency"
        unit, value_of = ("images/s", _throughput) if figure == "throughput" else ("us", _percentile(metric))
        before, after = (_value(record, scenario, name, figure, value_of) for name in (record.baseline, candidate))
        if before and after:
            ratio = after / before if figure == "throughput" else before / after
            interval = Interval(ratio, ratio, ratio)
            effect = Effect(scenario, metric, "speedup", unit, before, after, interval, "unknown", 0)
            found[scenario, metric] = effect
    return found


def _value(
    record: Record, scenario: Scenario, name: str, figure: Figure, value_of: Callable[[Arm], float | None]
) -> float | None:
    run = record.runs.get(scenario)
    arm = run.arms.get(name) if run is not None else None
    return value_of(arm) if run is not None and arm is not None and run.is_valid(name, figure) else None


def _throughput(arm: Arm) -> float | None:
    return arm.images_per_second


def _percentile(name: str) -> Callable[[Arm], float | None]:
    return lambda arm: arm.latency.at(name)


def _shares(record: Record, candidate: str) -> tuple[float, float] | None:
    """Right answers / images of both; None unless both answered the whole test set: else they do not compare."""
    first, second = (_answers(record, name) for name in (record.baseline, candidate))
    if first is None or second is None or min(first.coverage, second.coverage) < 1:
        return None
    return first.share.estimate, second.share.estimate


def _answers(record: Record, name: str) -> Answers | None:
    run = record.runs.get("accuracy")
    arm = run.arms.get(name) if run is not None else None
    return arm.answers if arm is not None else None


def _sentence(record: Record, candidate: str, effects: Mapping[tuple[str, str], Effect]) -> str:
    """How the candidate of a load test compares with the baseline."""
    dataset = record.dataset
    part = "the full test set" if dataset.full else "NOT the full test set"
    parts = [_size(record, candidate), *_speed(effects), _accuracy(record, candidate)]
    text = f"{candidate} {', '.join(parts[:-1])}, and {parts[-1]}; on {dataset.images:,} images of {dataset.name} "
    text += f"({part}; {dataset.source})."
    return text if record.complete else f"INCOMPLETE: {text}"


def _size(record: Record, candidate: str) -> str:
    before, after = (record.model.variants[name].artefact_bytes for name in (record.baseline, candidate))
    sizes = f"{kilobytes(after)} vs {kilobytes(before)} KB"
    if after < before:
        return f"is {before / after:.2f} times smaller than {record.baseline} ({sizes})"
    return f"is not smaller than {record.baseline} ({sizes})"


def _speed(effects: Mapping[tuple[str, str], Effect]) -> list[str]:
    answers = []
    for metric in ("p50", "p99"):
        effect = effects.get(("single-stream", metric))
        if effect is not None and effect.baseline and effect.candidate:
            figures = f"{effect.candidate / 1000:.2f} vs {effect.baseline / 1000:.2f} ms"
            answers.append(f"{effect.baseline / effect.candidate:.2f} times as fast at {metric} ({figures})")
    parts = [f"answers {' and '.join(answers)}"] if answers else []
    offline = effects.get(("offline", "throughput"))
    if offline is not None and offline.baseline and offline.candidate:
        figures = f"{offline.candidate:,.0f} vs {offline.baseline:,.0f} images/s"
        parts.append(f"reaches {offline.candidate / offline.baseline:.2f} times the throughput in batches ({figures})")
    return parts or ["has no valid speed figure (see the caveats)"]


def _quality(record: Record, candidate: str) -> str:
    run = record.runs.get("accuracy")
    first, second = (
        run.arms[name].quality if run is not None and name in run.arms else None
        for name in (record.baseline, candidate)
    )
    if first is None or second is None or min(first.coverage, second.coverage) < 1:
        return "has no quality figure"
    figures = f"{loss(second.loss.estimate)} vs {loss(first.loss.estimate)}"
    return f"has a mean {second.metric} of {figures}"


def _accuracy(record: Record, candidate: str) -> str:
    if record.model.metric:
        return _quality(record, candidate)
    shares = _shares(record, candidate)
    if shares is None:
        known = _answers(record, record.baseline) and _answers(record, candidate)
        return "has no accuracy figure" + (" (not every image was answered)" if known else "")
    first, second = shares
    both = f"{second:.2%} vs {first:.2%}"
    if first == second:
        return f"is exactly as accurate ({both})"
    difference = 100 * (second - first)
    return f"is {abs(difference):.2f} percentage points {'more' if difference > 0 else 'less'} accurate ({both})"
