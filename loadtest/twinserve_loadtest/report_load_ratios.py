"""A load test's variants held against its baseline, and the sentence that sums them up.

Which scenario a figure is taken from is a rule, not a choice: the median with one request in flight, the 99th
percentile at an equal offered rate, throughput offline. Percentiles of the closed loop are never compared:
there the faster variant is given more load. A figure that the generator marked invalid is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.report_numbers import points, times

if TYPE_CHECKING:
    from twinserve_loadtest.results import Results, VariantResult


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of both variants (microseconds or images per second) and where it is from."""

    baseline: float
    candidate: float
    scenario: str


@dataclass(frozen=True, slots=True)
class LoadRatios:
    """What a load test says of one candidate; None: not measured, not valid, or too few samples."""

    baseline: str
    candidate: str
    sizes: tuple[int, int] | None
    """Bytes of the artefacts."""
    accuracy: tuple[float, float] | None
    """Shares of right answers."""
    p50: Measured | None
    p99: Measured | None
    throughput: Measured | None

    def sentence(self, dataset: str, *, complete: bool) -> str:
        """How much smaller, faster and more or less accurate the candidate is."""
        parts = []
        if self.sizes is not None and min(self.sizes) > 0:
            parts.append(_than(self.sizes[0] / self.sizes[1], "smaller", "larger"))
        faster = [
            f"{_than(found.baseline / found.candidate, 'faster', 'slower')} at {name} ({found.scenario})"
            for name, found in (("p50", self.p50), ("p99", self.p99))
            if found is not None
        ]
        parts += faster
        if self.throughput is not None:
            share = self.throughput.candidate / self.throughput.baseline
            parts.append(f"{times(share)} its throughput ({self.throughput.scenario})")
        if self.accuracy is not None:
            gap = self.accuracy[1] - self.accuracy[0]
            parts.append(f"{points(gap)} in accuracy on {dataset}" if gap else f"equally accurate on {dataset}")
        if not parts:
            return f"Nothing can be said of {self.candidate}: no figure of both variants was measured."
        start = "" if complete else "The run is incomplete; as far as it went, "
        return f"{start}{self.candidate} against {self.baseline}: {', '.join(parts)}."


def load_ratios(results: Results, baseline: str, candidate: str) -> LoadRatios:
    """Hold ``candidate`` against ``baseline``."""
    variants = results.model.variants
    sizes = None
    if baseline in variants and candidate in variants:
        sizes = (variants[baseline].artefact_bytes, variants[candidate].artefact_bytes)
    shares = [_share(_result(results, "accuracy", name)) for name in (baseline, candidate)]
    return LoadRatios(
        baseline,
        candidate,
        sizes,
        (shares[0], shares[1]) if shares[0] is not None and shares[1] is not None else None,
        _latency(results, (("single-stream", "one in flight"), ("open", "open loop")), "p50_us", baseline, candidate),
        _latency(results, (("open", "open loop"), ("single-stream", "one in flight")), "p99_us", baseline, candidate),
        _throughput(results, baseline, candidate),
    )


def _result(results: Results, scenario: str, variant: str) -> VariantResult | None:
    run = results.scenario(scenario)
    return run.variants.get(variant) if run else None


def _share(result: VariantResult | None) -> float | None:
    """Only over the whole test set: shares of different images are not compared."""
    if result is None or result.accuracy is None or result.accuracy.coverage < 1:
        return None
    return result.accuracy.correct / result.accuracy.total


def _latency(
    results: Results, scenarios: tuple[tuple[str, str], ...], field: str, baseline: str, candidate: str
) -> Measured | None:
    for scenario, title in scenarios:
        pair = [_result(results, scenario, name) for name in (baseline, candidate)]
        values = [
            getattr(result.latency, field) if result and "latency" not in result.generator.invalid else None
            for result in pair
        ]
        if all(values):
            return Measured(float(values[0] or 0), float(values[1] or 0), title)
    return None


def _throughput(results: Results, baseline: str, candidate: str) -> Measured | None:
    pair = [_result(results, "offline", name) for name in (baseline, candidate)]
    values = [
        result.images_per_second if result and "throughput" not in result.generator.invalid else 0.0 for result in pair
    ]
    return Measured(values[0], values[1], "offline") if all(values) else None


def _than(ratio: float, more: str, less: str) -> str:
    if 0.995 <= ratio < 1.005:
        return f"not {more}"
    return f"{times(ratio)} {more}" if ratio > 1 else f"{times(1 / ratio)} {less}"
