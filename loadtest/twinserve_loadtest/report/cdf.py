"""Latency distributions for a report: from a histogram to the points of a CDF with its band.

A curve ends where its sample stops carrying the percentile (:mod:`twinserve_loadtest.record.percentiles`): what lies
beyond is the luck of a few requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from twinserve_loadtest.record.percentiles import least_samples
from twinserve_loadtest.report.content import Point
from twinserve_loadtest.report.numbers import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdrh.histogram import HdrHistogram
    from numpy.typing import NDArray

    from twinserve_loadtest.record.run import BandPoint

LOWEST, HIGHEST = 0.05, 0.9999
#: Points per curve; evenly spaced on the stretched axis.
POINTS = 90
_MARKED = (0.5, 0.9, 0.99, 0.999)


def points_of_histogram(histogram: HdrHistogram) -> list[Point]:
    """CDF points of an HdrHistogram in microseconds.

    The band is the distribution-free 95 % interval of a quantile by order statistics: the true quantile
    lies between the samples of rank binom(0.025; n, q) and binom(0.975; n, q) + 1. It takes requests as
    independent, so it is too narrow on a noisy machine.

    Source: Conover (1999), *Practical Nonparametric Statistics*, 3rd ed., section 3.2.
    """
    values, cumulative = _cumulative(histogram)
    if not len(values):
        return []
    samples = int(cumulative[-1])
    quantiles = _grid(samples)

    def at(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        wanted = np.clip(ranks, 1, samples)
        return values[np.searchsorted(cumulative, wanted)]

    value = at(np.ceil(quantiles * samples))
    low = at(np.asarray(stats.binom.ppf(0.025, samples, quantiles)))
    high = at(np.asarray(stats.binom.ppf(0.975, samples, quantiles)) + 1)
    return [
        _point(float(q), float(v), float(least), float(most))
        for q, v, least, most in zip(quantiles, value, low, high, strict=True)
    ]


def points_of_band(band: Sequence[BandPoint], samples: int) -> list[Point]:
    """CDF points of a comparison's arm, whose band comes from the bootstrap over blocks."""
    highest = highest_quantile(samples)
    return [
        _point(point.quantile, point.value_us, point.low_us, point.high_us)
        for point in band
        if LOWEST <= point.quantile <= highest
    ]


def highest_quantile(samples: int) -> float:
    """The highest quantile (0..1) that ``samples`` carry."""
    carried = [q for q in _candidates() if least_samples(round(100 * q, 6)) <= samples]
    return max(carried, default=0.0)


def _candidates() -> list[float]:
    grid = 1 - np.logspace(np.log10(1 - LOWEST), np.log10(1 - HIGHEST), POINTS)
    return sorted({*(round(float(q), 6) for q in grid), *_MARKED})


def _grid(samples: int) -> NDArray[np.float64]:
    highest = highest_quantile(samples)
    return np.array([q for q in _candidates() if q <= highest])


def _point(quantile: float, value_us: float, low_us: float, high_us: float) -> Point:
    marked = any(abs(quantile - wanted) < 1e-9 for wanted in _MARKED)
    marker: Literal["none", "filled"] = "filled" if marked else "none"
    title = f"p{100 * quantile:g}: {milliseconds(value_us)} ({milliseconds(low_us)} to {milliseconds(high_us)})"
    return Point(value_us / 1000, quantile, low_us / 1000, high_us / 1000, marker, title if marked else "")


def _cumulative(histogram: HdrHistogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recorded values (microseconds) and how many samples lie at or below each."""
    values, counts = [], []
    for item in histogram.get_recorded_iterator():
        values.append(histogram.get_highest_equivalent_value(item.value_iterated_to))
        counts.append(item.count_added_in_this_iter_step)
    return np.array(values, np.float64), np.cumsum(np.array(counts, np.float64))
