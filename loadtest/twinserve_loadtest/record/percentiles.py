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

from hdrh.histogram import HdrHistogram

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
        raise ValueError(f"percentile is {percentile}: it must lie between 0 and 100, both excluded")
    p = percentile / 100
    n = 1
    while p**n + n * (1 - p) * p ** (n - 1) > 0.01:
        n += 1
    return n


def read_percentiles(histogram: HdrHistogram) -> tuple[dict[str, int], dict[str, str]]:
    """The percentiles that the sample carries, and why the others are withheld.

    Returns:
        Microseconds by name (``p50``, ``p99.9``), and a reason by name for each withheld one.
    """
    count = histogram.get_total_count()
    carried = [percentile for percentile in REPORTED if count >= least_samples(percentile)]
    values = histogram.get_percentile_to_value_dict(carried) if carried else {}
    withheld = {
        percentile_name(percentile): f"needs {least_samples(percentile):,} samples, {count:,} were taken"
        for percentile in REPORTED
        if percentile not in carried
    }
    return {percentile_name(percentile): int(values[percentile]) for percentile in carried}, withheld


def percentile_name(percentile: float) -> str:
    """``99.0`` → ``p99``, ``99.9`` → ``p99.9``."""
    return f"p{percentile:g}"
