"""A load test's variants held against its baseline, for the figures at first glance.

Percentiles of the closed loop are never compared: there the faster variant is given more load. A figure that
the generator marked invalid is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twinserve_loadtest.record.load_results import Results, VariantResult

_LATENCIES = (
    ("single-stream", "p50_us", "p50, one in flight"),
    ("single-stream", "p99_us", "p99, one in flight"),
    ("open", "p99_us", "p99, open loop"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of both variants (microseconds or images per second)."""

    label: str
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True)
class LoadRatios:
    """What a load test says of one candidate; None: not measured, not valid, or too few samples."""

    sizes: tuple[int, int]
    """Bytes of the artefacts."""
    accuracy: tuple[float, float] | None
    """Shares of right answers."""
    latencies: list[Measured]
    throughput: Measured | None


def load_ratios(results: Results, baseline: str, candidate: str) -> LoadRatios:
    """Hold ``candidate`` against ``baseline``, both variants of the tested model."""
    variants = results.model.variants
    shares = [_share(_result(results, "accuracy", name)) for name in (baseline, candidate)]
    return LoadRatios(
        (variants[baseline].artefact_bytes, variants[candidate].artefact_bytes),
        (shares[0], shares[1]) if shares[0] is not None and shares[1] is not None else None,
        list(_latencies(results, baseline, candidate)),
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


def _latencies(results: Results, baseline: str, candidate: str) -> Iterator[Measured]:
    for scenario, field, label in _LATENCIES:
        values = [
            getattr(result.latency, field) if result and "latency" not in result.generator.invalid else None
            for result in (_result(results, scenario, name) for name in (baseline, candidate))
        ]
        if values[0] and values[1]:
            yield Measured(label, float(values[0]), float(values[1]))


def _throughput(results: Results, baseline: str, candidate: str) -> Measured | None:
    values = [
        result.images_per_second if result and "throughput" not in result.generator.invalid else 0.0
        for result in (_result(results, "offline", name) for name in (baseline, candidate))
    ]
    return Measured("Throughput", values[0], values[1]) if all(values) else None
