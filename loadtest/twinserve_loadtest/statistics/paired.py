"""Statistics of right and wrong answers, paired by image, and how much more evidence would decide.

Each test image is answered once by each arm, so the answers are paired: only the images on which one arm is
right and the other wrong say anything about the difference. Latency is in
:mod:`twinserve_loadtest.statistics.bootstrap`, looks in :mod:`twinserve_loadtest.statistics.sequential`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, stats

from twinserve_loadtest.record.run import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Power with which a planned sample decides: 8 of 10 such experiments.
POWER = 0.8
#: More than this many further samples is not a plan: the effect lies on the limit.
LARGEST_PLAN = 10_000_000


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Images by which arm was right."""

    both: int
    only_baseline: int
    only_candidate: int
    neither: int

    @property
    def images(self) -> int:
        """All images."""
        return self.both + self.only_baseline + self.only_candidate + self.neither

    @property
    def difference(self) -> float:
        """Candidate's minus baseline's share of right answers."""
        return (self.only_candidate - self.only_baseline) / self.images


def paired_counts(
    labels: NDArray[np.integer[Any]],
    baseline: NDArray[np.integer[Any]],
    candidate: NDArray[np.integer[Any]],
) -> PairedCounts:
    """Count which arm was right (three arrays of N class indices)."""
    first, second = baseline == labels, candidate == labels
    return PairedCounts(
        both=int(np.sum(first & second)),
        only_baseline=int(np.sum(first & ~second)),
        only_candidate=int(np.sum(~first & second)),
        neither=int(np.sum(~first & ~second)),
    )


def mcnemar_exact(counts: PairedCounts) -> float:
    """Two-sided p-value of equal accuracy: exact conditional test on the discordant images.

    Under equality each discordant image falls to either arm like a fair coin.

    Source: McNemar (1947), Psychometrika 12(2), 153-157; the exact binomial form as in Fagerland, Lydersen &
    Laake (2013), BMC Medical Research Methodology 13:91.
    """
    discordant = counts.only_baseline + counts.only_candidate
    if discordant == 0:
        return 1.0
    return float(stats.binomtest(counts.only_candidate, discordant, 0.5).pvalue)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of one proportion.

    Source: Wilson (1927), JASA 22(158), 209-212; recommended by Brown, Cai & DasGupta (2001), Statistical
    Science 16(2), 101-133. Computed by ``scipy.stats.binomtest``.

    Raises:
        ValueError: ``trials`` is 0.
    """
    if trials == 0:
        raise ValueError("trials is 0: a share of nothing has no interval")
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high), confidence)


def tango_z(counts: PairedCounts, difference: float) -> float:
    """Score statistic of the hypothesis that the paired difference of accuracy is ``difference``.

    Its denominator takes the share of discordant images that is most likely under the hypothesis
    (a quadratic equation), which keeps it right for small counts where Wald's statistic fails.

    Source: Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17(8), 891-908.
    """
    n, b, c = counts.images, counts.only_candidate, counts.only_baseline
    # q: the share of images that only the baseline gets right, under the hypothesis p - q = difference.
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    q = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + difference * (1 - difference))
    surplus = b - c - n * difference
    if variance <= 0:
        return 0.0 if surplus == 0 else math.copysign(math.inf, surplus)
    return surplus / math.sqrt(variance)


def tango_interval(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """Score interval of candidate's minus baseline's accuracy: all differences that Tango's test keeps.

    Source: Tango (1998), see :func:`tango_z`. Recommended for paired proportions by Fagerland, Lydersen &
    Laake (2014), Statistics in Medicine 33(16), 2850-2875.

    Raises:
        ValueError: there is no image.
    """
    if counts.images == 0:
        raise ValueError("there are no images: their difference has no interval")
    critical = float(stats.norm.isf((1 - confidence) / 2))
    estimate, nearly_one = counts.difference, 1 - 1e-9

    def bound(sign: float) -> float:
        def excess(difference: float) -> float:
            return sign * tango_z(counts, difference) + critical

        edge = sign * nearly_one
        if excess(edge) > 0:  # the hypothesis of the largest difference there is is kept
            return sign
        return float(optimize.brentq(excess, estimate, edge, xtol=1e-12))

    return Interval(estimate, bound(-1.0), bound(1.0), confidence)


def non_inferiority_p(counts: PairedCounts, margin: float) -> float:
    """One-sided p-value of "the candidate loses ``margin`` or more"; small: it is not inferior.

    At 2.5 % it says the same as a 95 % :func:`tango_interval` whose lower end lies above ``-margin``.

    Source: Tango (1998), see :func:`tango_z`; the one-sided 2.5 % is that of ICH E9 (1998), *Statistical
    Principles for Clinical Trials*.

    Args:
        counts: paired answers.
        margin: the tolerated loss as a share (0.005: half a percentage point), above 0.
    """
    return float(stats.norm.sf(tango_z(counts, -margin)))


def more_units(standard_error: float, gap: float, units: int, confidence: float) -> int | None:
    """How many further units would decide on which side of a limit an effect lies, 8 times out of 10.

    n' = n ((z_confidence + z_power) standard error / gap)^2, the sample size of a two-sided z test with the
    standard error shrinking as 1 / sqrt(n): Cohen (1988), *Statistical Power Analysis*, 2nd ed.

    Args:
        standard_error: of the estimate after ``units`` units.
        gap: distance of the estimate from the limit, in the same scale.
        units: behind the estimate.
        confidence: of the interval that must lie on one side of the limit.

    Returns:
        At least 1; None when no sensible number would do (the estimate sits on the limit).
    """
    z = float(stats.norm.isf((1 - confidence) / 2) + stats.norm.ppf(POWER))
    if abs(gap) * math.sqrt(LARGEST_PLAN) <= z * standard_error * math.sqrt(units):
        return None
    needed = units * (z * standard_error / gap) ** 2
    return max(1, math.ceil(needed) - units)


def more_images(counts: PairedCounts, limit: float, confidence: float = 0.95) -> int | None:
    """How many further test images would decide whether the difference of accuracy lies above ``limit``.

    The variance of a paired difference is (p + q - (p - q)^2) / n with p, q the shares of discordant images:
    Connor (1987), "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43(1), 207-211. With no discordant image yet, one is assumed.
    """
    n = counts.images
    discordant = max(counts.only_baseline + counts.only_candidate, 1) / n
    spread = math.sqrt(max(discordant - counts.difference**2, 0.0) / n)
    return more_units(spread, counts.difference - limit, n, confidence)
