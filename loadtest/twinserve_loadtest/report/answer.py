"""The answer on top of a report: the verdict of a comparison, or the one sentence of a load test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.loadtest.closing import closing_sentence
from twinserve_loadtest.report.document import GateLine, Headline, Tile, Tone
from twinserve_loadtest.report.effects import change, sampled
from twinserve_loadtest.report.load_ratios import load_ratios
from twinserve_loadtest.report.numbers import DASH, milliseconds, percent, points, rate, span, times

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.findings import Effect, Verdict
    from twinserve_loadtest.record.load_results import Results
    from twinserve_loadtest.report.load_ratios import LoadRatios

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
    return Headline(
        candidate=comparison.candidate,
        baseline=comparison.baseline,
        outcome=verdict.outcome,
        sentence=verdict.summary.removeprefix(f"{verdict.outcome}: "),
        # What a gate says already stands beside it.
        reasons=[reason for reason in verdict.reasons if all(reason != gate.reason for gate in verdict.gates)],
        tiles=_tiles(comparison),
        gates=_gates(verdict),
        footnote="✓ better, ✗ worse, ~ no difference shown beyond the noise; second line: 95 % interval.",
        tone=_TONES[verdict.outcome],
    )


def headline_of_load_test(results: Results, baseline: str, candidate: str) -> Headline:
    """One sentence and the same tiles without intervals."""
    ratios = load_ratios(results, baseline, candidate)
    return Headline(
        candidate=candidate,
        baseline=baseline,
        outcome=None,
        sentence=closing_sentence(results, candidate),
        reasons=[],
        tiles=_load_tiles(ratios),
        gates=[],
        footnote=f"One load test, no intervals, no verdict: `twinserve compare {baseline} {candidate}` decides.",
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
        shares = " → ".join(percent(share.estimate) for share in comparison.accuracy.accuracy.values())
        interval = f"{points(gap.low).removesuffix(' pp')} to {points(gap.high)}"
        tiles.append(Tile("Accuracy", points(gap.estimate), shares, tone, interval))
    for group in _TILES:
        for scenario, metric, label in group:
            effect = effects.get((scenario, metric)) if scenario else costs.get(metric)
            run = comparison.scenarios.get(scenario)
            if effect is not None and effect.interval is not None and not (run and run.invalid):
                tiles.append(_effect_tile(label, effect))
                break
        else:
            tiles.append(Tile(group[0][2], DASH, "not measured, or not valid: see below", "open"))
    return tiles


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


def _load_tiles(ratios: LoadRatios) -> list[Tile]:
    tiles = []
    if ratios.sizes is not None:
        before, after = ratios.sizes
        tiles.append(Tile("Size", times(after / before), f"{before / 1024:,.0f} → {after / 1024:,.0f} KB"))
    if ratios.accuracy is not None:
        share, other = ratios.accuracy
        tiles.append(Tile("Accuracy", points(other - share), f"{percent(share)} → {percent(other)}"))
    for found in ratios.latencies:
        detail = f"{milliseconds(found.baseline).removesuffix(' ms')} → {milliseconds(found.candidate)}"
        tiles.append(Tile(found.label, times(found.baseline / found.candidate), detail))
    if ratios.throughput is not None:
        throughput = ratios.throughput
        detail = f"{rate(throughput.baseline)} → {rate(throughput.candidate)} images/s"
        tiles.append(Tile("Throughput", times(throughput.candidate / throughput.baseline), detail))
    return tiles
