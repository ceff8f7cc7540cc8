"""The answer on top of a report: the verdict of a comparison, or the one sentence of a load test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report_document import GateLine, Headline, Tile, Tone
from twinserve_loadtest.report_effects import amount
from twinserve_loadtest.report_numbers import kilobytes, milliseconds, percent, points, rate, span, times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twinserve_loadtest.comparison import Comparison
    from twinserve_loadtest.findings import Effect, Verdict
    from twinserve_loadtest.report_load_ratios import LoadRatios

_TONES: dict[str, Tone] = {"SHIP": "good", "DO NOT SHIP": "bad", "NOT ENOUGH EVIDENCE": "open"}
_CLAIMS: dict[str, Tone] = {"better": "good", "worse": "bad"}
#: (scenario, metric, label) of the tiles, the first of each group that was measured.
_TILES = (
    (("single_stream", "p50", "p50, one in flight"), ("server", "p50", "p50, open loop")),
    (("server", "p99", "p99, open loop"), ("single_stream", "p90", "p90, one in flight")),
    (("offline", "throughput", "Throughput"),),
    (("", "added_bytes", "Memory added"), ("", "process_pss_bytes", "Process memory")),
)


def headline_of_comparison(comparison: Comparison) -> Headline:
    """The verdict with its reasons, gates and the figures at first glance."""
    verdict = comparison.verdict
    quick = "" if verdict.decision_grade else "Quick run: not decision-grade. "
    return Headline(
        candidate=comparison.candidate,
        baseline=comparison.baseline,
        outcome=verdict.outcome,
        sentence=verdict.summary,
        reasons=list(verdict.reasons),
        tiles=_tiles(comparison),
        gates=_gates(verdict),
        footnote=f"{quick}Holds for this instruction set alone: {verdict.isa}.",
        tone=_TONES[verdict.outcome],
    )


def headline_of_load_test(ratios: LoadRatios, *, complete: bool, dataset: str) -> Headline:
    """One sentence and the same tiles without intervals."""
    return Headline(
        candidate=ratios.candidate,
        baseline=ratios.baseline,
        outcome=None,
        sentence=ratios.sentence(dataset, complete=complete),
        reasons=[],
        tiles=_load_tiles(ratios),
        gates=[],
        footnote="One load test, no intervals, no verdict: "
        f"`twinserve compare {ratios.baseline} {ratios.candidate}` decides.",
    )


def _tiles(comparison: Comparison) -> list[Tile]:
    effects = {(effect.scenario, effect.metric): effect for effect in comparison.effects()}
    costs = {effect.metric: effect for effect in comparison.costs}
    tiles = []
    if "artefact_bytes" in costs:
        tiles.append(_effect_tile("Size", costs["artefact_bytes"]))
    if comparison.accuracy is not None:
        gap = comparison.accuracy.difference
        tone: Tone = "good" if comparison.accuracy.non_inferior else "open"
        if gap.high < -comparison.accuracy.margin:
            tone = "bad"
        detail = f"{points(gap.low)} to {points(gap.high)}, {comparison.accuracy.images:,} images"
        tiles.append(Tile("Accuracy", points(gap.estimate), detail, tone))
    for group in _TILES:
        for scenario, metric, label in group:
            effect = effects.get((scenario, metric)) or (None if scenario else costs.get(metric))
            if effect is not None and effect.interval is not None:
                tiles.append(_effect_tile(label, effect))
                break
    return tiles


def _effect_tile(label: str, effect: Effect) -> Tile:
    found = effect.interval
    value = times(found.estimate if found else None)
    sampled = found is not None and found.low != found.high
    interval = f"{span(found.low, found.high)}; " if found is not None and sampled else ""
    detail = f"{interval}{amount(effect, effect.baseline)} → {amount(effect, effect.candidate)}"
    return Tile(label, value, detail, _CLAIMS.get(effect.claim, "open"))


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


def _load_tiles(ratios: LoadRatios) -> list[Tile]:
    tiles = []
    if ratios.sizes is not None:
        before, after = ratios.sizes
        tiles.append(Tile("Size", times(after / before), f"{kilobytes(before)} → {kilobytes(after)} KB"))
    if ratios.accuracy is not None:
        share, other = ratios.accuracy
        tiles.append(Tile("Accuracy", points(other - share), f"{percent(share)} → {percent(other)}"))
    for label, found in (("p50", ratios.p50), ("p99", ratios.p99)):
        if found is not None:
            detail = f"{milliseconds(found.baseline)} → {milliseconds(found.candidate)}"
            tiles.append(Tile(f"{label}, {found.scenario}", times(found.baseline / found.candidate), detail))
    if ratios.throughput is not None:
        throughput = ratios.throughput
        detail = f"{rate(throughput.baseline)} → {rate(throughput.candidate)} images/s"
        tiles.append(Tile("Throughput", times(throughput.candidate / throughput.baseline), detail))
    return tiles


def first_sentence(headlines: Iterable[Headline]) -> str:
    """What the page's title and the terminal's last line say."""
    return " ".join(f"{line.outcome}: {line.sentence}" if line.outcome else line.sentence for line in headlines)
