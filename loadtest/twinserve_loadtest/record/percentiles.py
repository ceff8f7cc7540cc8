"""Which percentiles a sample of a given size can carry, and reading them from an HdrHistogram.

A percentile is stated only when enough samples stand behind it. The least number follows
MLPerf's early stopping at 99 % confidence with one over-latency sample allowed: the least ``n``
for which seeing at most one of ``n`` samples above the percentile would have a probability of
at most 1 %,

    p**n + n * (1 - p) * p**(n - 1) <= 0.01

which gives 64 for p90, 130 for p95, 662 for p99 and 6,636 for p99.9 (MLCommons, *MLPerf
Inference Rules*, "Early stopping").
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_FIGURES = 3

REPORTED = (50.0, 90.0, 95.0, 99.0, 99.9)


def new_histogram() -> HdrHistogram:
    """An empty histogram for latencies of 1 µs to one hour, to three significant figures."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)


@lru_cache
def least_samples(percentile: float) -> int:
    """The least number of samples that carries ``percentile`` (50 < 100).

    Raises:
        ValueError: ``percentile`` is not inside 0..100.
    """
    if not 0 < percentile < 100:
        raise ValueError(f"percentile is {percentile}: it must be above 0 and below 100")
    p = percentile / 100
    n = 1
    while p**n + n * (1 - p) * p ** (n - 1) > 0.01:
        n += 1
    return n


def read_percentiles(histogram: HdrHistogram) -> dict[str, float | None]:
    """Microseconds by name (``p50``, ``p99.9``); None where the sample does not carry the percentile."""
    count = histogram.get_total_count()
    carried = [percentile for percentile in REPORTED if count >= least_samples(percentile)]
    values = histogram.get_percentile_to_value_dict(carried) if carried else {}
    return {percentile_name(percentile): values.get(percentile) for percentile in REPORTED}


def why_withheld(count: int) -> dict[str, str]:
    """Why ``count`` samples do not carry a percentile, by the name of each that they do not."""
    needed = {percentile_name(percentile): least_samples(percentile) for percentile in REPORTED}
    return {name: f"needs {least:,} samples and has {count:,}" for name, least in needed.items() if count < least}


def merge_histograms(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """One histogram of all their values. Percentiles are read from it, never averaged over its parts."""
    merged = new_histogram()
    for histogram in histograms:
        merged.add(histogram)
    return merged


def histogram_of(latencies_us: NDArray[np.floating[Any]]) -> HdrHistogram:
    """A histogram of latencies in microseconds."""
    histogram = new_histogram()
    values, counts = np.unique(np.maximum(latencies_us, 1.0).astype(np.int64), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return histogram


def percentile_name(percentile: float) -> str:
    """``99.0`` → ``p99``, ``99.9`` → ``p99.9``."""
    return f"p{percentile:g}"
