"""Intervals for ratios of latency percentiles and of rates, from paired interleaved blocks.

Requests next to each other share the machine's mood (a burst of another tenant, a frequency change): they
are not independent, and neither percentile has a textbook interval. What may be exchanged are whole *units*
of the design (one A B B A sequence), so they are what is drawn again: both arms together, which keeps the
pairing, with all requests of a block, which keeps the dependence inside it. Percentiles are read from the
merged histograms of the drawn units, never averaged over blocks.

Sources:
    Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, chapters 6 (standard error), 8 (dependent
    data drawn in blocks) and 12 (the interval estimate +/- t x standard error; here on the logarithm of the
    ratio, on which it is nearly normal).
    Hesterberg (2015), "What Teachers Should Know About the Bootstrap", The American Statistician 69(4):
    the factor sqrt(n / (n - 1)) against the bootstrap's narrowness with few units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from twinserve_loadtest.record.percentiles import least_samples, new_histogram
from twinserve_loadtest.record.run import BandPoint, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdrh.histogram import HdrHistogram
    from numpy.typing import NDArray

RESAMPLES = 2000
_WIDEST = 50.0  # exp(50): nothing is known; keeps exp() from overflowing


@dataclass(frozen=True, slots=True)
class LogRatio:
    """An estimated ratio: its logarithm, the standard error of that, and the units behind it."""

    log_estimate: float
    standard_error: float
    units: int

    def interval(self, confidence: float) -> Interval:
        """exp(log estimate +/- t x standard error), t with units - 1 degrees of freedom."""
        margin = self.half_width(confidence)
        return Interval(
            math.exp(self.log_estimate),
            math.exp(self.log_estimate - margin),
            math.exp(self.log_estimate + margin),
            confidence,
        )

    def half_width(self, confidence: float) -> float:
        """t x standard error, on the logarithmic scale: 0.05 is about +/- 5 %."""
        margin = float(stats.t.ppf(0.5 + confidence / 2, self.units - 1)) * self.standard_error
        return min(margin, _WIDEST)


class LatencyTable:
    """The latency histograms of one arm, one row a unit of the design.

    Args:
        histograms: for each unit the histograms of this arm's blocks in it (microseconds).
    """

    def __init__(self, histograms: Sequence[Sequence[HdrHistogram]]) -> None:
        rows = [sum((_bucket_counts(histogram) for histogram in unit), np.zeros(1)) for unit in histograms]
        table = np.vstack(rows) if rows else np.zeros((0, 1))
        used = np.flatnonzero(table.any(axis=0))
        reference = new_histogram()
        self.values_us: NDArray[np.float64] = np.array(
            [reference.get_highest_equivalent_value(reference.get_value_from_index(index)) for index in used.tolist()],
            np.float64,
        )
        self.counts: NDArray[np.float64] = table[:, used]

    @property
    def samples(self) -> int:
        """Requests in all units."""
        return int(self.counts.sum())

    def quantiles(self, weights: NDArray[np.float64], quantiles: Sequence[float]) -> NDArray[np.float64]:
        """The quantiles (0..1) of the merged histograms for each row of unit weights.

        Args:
            weights: resamples x units: how often each unit was drawn.

        Returns:
            resamples x quantiles, microseconds.
        """
        cumulative = np.cumsum(self.counts, axis=1).T  # values x units
        totals = weights @ cumulative[-1]
        found = np.empty((len(weights), len(quantiles)))
        for column, quantile in enumerate(quantiles):
            target = np.maximum(np.floor(totals * quantile + 0.5), 1.0)
            # The first value whose cumulative count reaches the target, by halving, for all resamples at once.
            low, high = np.zeros(len(weights), np.int64), np.full(len(weights), len(cumulative) - 1)
            while (low < high).any():
                middle = (low + high) // 2
                reached = np.einsum("ij,ij->i", weights, cumulative[middle]) >= target
                low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
            found[:, column] = self.values_us[low]
        return found


def draw_units(units: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """How often each of ``units`` is drawn in each bootstrap resample (resamples x units)."""
    return rng.multinomial(units, np.full(units, 1 / units), size=resamples).astype(np.float64)


def percentile_ratios(
    baseline: LatencyTable, candidate: LatencyTable, quantiles: Sequence[float], rng: np.random.Generator
) -> list[LogRatio | None]:
    """log(baseline's / candidate's percentile) for each quantile (0..1): above 0 the candidate is faster.

    Returns:
        One an entry; None where either arm has fewer samples than the percentile needs
        (:func:`twinserve_loadtest.record.percentiles.least_samples`) or there are fewer than two units.
    """
    units = len(baseline.counts)
    if units < 2 or min(baseline.samples, candidate.samples) == 0:
        return [None for _ in quantiles]
    weights = np.vstack([np.ones(units), draw_units(units, rng)])
    logs = np.log(baseline.quantiles(weights, quantiles) / candidate.quantiles(weights, quantiles))
    samples = min(baseline.samples, candidate.samples)
    return [
        _log_ratio(logs[:, index], units) if samples >= least_samples(100 * quantile) else None
        for index, quantile in enumerate(quantiles)
    ]


def rate_ratio(
    baseline: NDArray[np.float64], candidate: NDArray[np.float64], rng: np.random.Generator
) -> LogRatio | None:
    """log of (candidate's sum of amounts / sum of seconds) over the baseline's.

    Args:
        baseline: units x 2: amount (images, CPU seconds) and what it is divided by (seconds, images).
        candidate: the same for the other arm, the same units.

    Returns:
        None with fewer than two units, or when an amount is zero.
    """
    units = len(baseline)
    if units < 2 or not (baseline.sum(axis=0).all() and candidate.sum(axis=0).all()):
        return None
    weights = np.vstack([np.ones(units), draw_units(units, rng)])
    sums = weights @ np.hstack([baseline, candidate])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(sums[:, 2] / sums[:, 3]) - np.log(sums[:, 0] / sums[:, 1])
    return _log_ratio(logs[np.isfinite(logs)], units)


def rate_interval(amounts: NDArray[np.float64], rng: np.random.Generator, confidence: float = 0.95) -> Interval | None:
    """One arm's sum of amounts / sum of seconds with its interval.

    Args:
        amounts: units x 2: amount (images) and seconds.
        rng: draws the units.
        confidence: of the interval.

    Returns:
        None with fewer than two units, or when there is no amount or no time.
    """
    units = len(amounts)
    if units < 2 or not amounts.sum(axis=0).all():
        return None
    sums = np.vstack([np.ones(units), draw_units(units, rng)]) @ amounts
    return _log_ratio(np.log(sums[:, 0] / sums[:, 1]), units).interval(confidence)


def cdf_band(table: LatencyTable, quantiles: Sequence[float], rng: np.random.Generator) -> list[BandPoint]:
    """The latency CDF of one arm with its pointwise 95 % bootstrap percentile band."""
    units = len(table.counts)
    if table.samples == 0:
        return []
    value = table.quantiles(np.ones((1, units)), quantiles)[0]
    drawn = table.quantiles(draw_units(units, rng, 400), quantiles)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [BandPoint(quantile, float(value[i]), float(low[i]), float(high[i])) for i, quantile in enumerate(quantiles)]


def _log_ratio(logs: NDArray[np.float64], units: int) -> LogRatio:
    """The first entry is the estimate, the others its bootstrap replicates."""
    spread = float(np.std(logs[1:], ddof=1))
    return LogRatio(float(logs[0]), spread * math.sqrt(units / (units - 1)), units)


def _bucket_counts(histogram: HdrHistogram) -> NDArray[np.float64]:
    """The counts of all buckets; every histogram here comes from ``new_histogram``: the buckets are the same."""
    return np.frombuffer(histogram.counts, np.uint64).astype(np.float64)
