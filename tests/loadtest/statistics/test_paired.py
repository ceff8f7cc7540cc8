"""Right and wrong answers: values from the literature, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from twinserve_loadtest.statistics.paired import (
    PairedCounts,
    mcnemar_exact,
    more_images,
    more_units,
    non_inferiority_p,
    paired_counts,
    tango_interval,
    tango_z,
    wilson_interval,
)

# Airway hyper-responsiveness before and after transplantation, 21 children (Bentur et al. 2009), as analysed by
# Fagerland, Lydersen & Laake (2013, 2014): 1 both, 1 only before, 7 only after, 12 neither.
AIRWAYS = PairedCounts(both=1, only_baseline=7, only_candidate=1, neither=12)


def test_mcnemar_gives_the_published_exact_p_value() -> None:
    assert mcnemar_exact(AIRWAYS) == pytest.approx(0.0703, abs=5e-5)


def test_mcnemar_is_the_binomial_test_of_the_discordant_images() -> None:
    counts = PairedCounts(both=59, only_baseline=16, only_candidate=6, neither=80)
    assert mcnemar_exact(counts) == pytest.approx(2 * stats.binom.cdf(6, 22, 0.5))


def test_mcnemar_finds_nothing_without_discordant_images() -> None:
    assert mcnemar_exact(PairedCounts(9880, 0, 0, 120)) == 1.0


def test_tango_gives_the_published_interval() -> None:
    found = tango_interval(AIRWAYS)
    assert found.estimate == pytest.approx(-6 / 21)
    assert found.low == pytest.approx(-0.517, abs=5e-4)
    assert found.high == pytest.approx(-0.026, abs=5e-4)


def test_tango_without_discordant_images_is_the_closed_form() -> None:
    n, z = 10_000, stats.norm.isf(0.025)
    found = tango_interval(PairedCounts(9880, 0, 0, 120))
    assert found.high == pytest.approx(z**2 / (n + z**2))
    assert found.low == pytest.approx(-found.high)


@pytest.mark.parametrize(
    "counts", [PairedCounts(0, 20, 0, 0), PairedCounts(0, 0, 20, 0), PairedCounts(5, 1, 0, 0), PairedCounts(1, 0, 0, 0)]
)
def test_tango_stays_in_range_at_the_edges(counts: PairedCounts) -> None:
    found = tango_interval(counts)
    assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_tango_score_at_zero_is_mcnemars_asymptotic_statistic() -> None:
    b, c = 30, 18
    assert tango_z(PairedCounts(9900, c, b, 52), 0.0) == pytest.approx((b - c) / math.sqrt(b + c))


def test_tango_covers_the_truth_as_often_as_it_says() -> None:
    rng, runs, n = np.random.default_rng(11), 1500, 2000
    loss, gain = 0.012, 0.004
    drawn = rng.multinomial(n, [0.97, loss, gain, 1 - 0.97 - loss - gain], size=runs)
    hits = 0
    for both, lost, won, neither in drawn.tolist():
        found = tango_interval(PairedCounts(both, lost, won, neither))
        hits += found.low <= gain - loss <= found.high
    assert 0.935 <= hits / runs <= 0.97


def test_non_inferiority_says_what_the_interval_says() -> None:
    for lost in range(0, 80, 5):
        counts = PairedCounts(9800, lost, 12, 188 - lost)
        inferior_excluded = tango_interval(counts).low > -0.005
        assert (non_inferiority_p(counts, 0.005) < 0.025) == inferior_excluded


def test_non_inferiority_rarely_passes_a_loss_as_large_as_the_margin() -> None:
    rng, runs, n, margin = np.random.default_rng(12), 2000, 4000, 0.005
    drawn = rng.multinomial(n, [0.98, 0.008, 0.008 - margin, 0.012 - 0.003 + 0.0], size=runs)
    passed = sum(non_inferiority_p(PairedCounts(*row), margin) < 0.025 for row in drawn.tolist())
    assert passed / runs <= 0.04


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I: 81 of 263, method 3.
    found = wilson_interval(81, 263)
    assert found.low == pytest.approx(0.2553, abs=5e-5)
    assert found.high == pytest.approx(0.3662, abs=5e-5)


def test_wilson_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="trials is 0"):
        wilson_interval(0, 0)


def test_pairs_are_counted_by_who_was_right() -> None:
    labels = np.array([0, 1, 2, 3, 4])
    counts = paired_counts(labels, np.array([0, 1, 2, 0, 0]), np.array([0, 0, 2, 3, 1]))
    assert counts == PairedCounts(both=2, only_baseline=1, only_candidate=1, neither=1)


def test_planned_units_decide_in_four_of_five_experiments() -> None:
    rng, gap, spread, n = np.random.default_rng(13), 0.05, 0.3, 20
    more = more_units(spread / math.sqrt(n), gap, n, 0.95)
    assert more is not None
    means = rng.normal(gap, spread / math.sqrt(n + more), 4000)
    decided = np.mean(np.abs(means) > stats.norm.isf(0.025) * spread / math.sqrt(n + more))
    assert decided == pytest.approx(0.8, abs=0.03)


def test_no_number_is_planned_on_the_limit() -> None:
    assert more_units(0.1, 0.0, 20, 0.95) is None
    assert more_units(0.1, 1e-9, 20, 0.95) is None


def test_planned_images_shrink_with_the_distance_to_the_margin() -> None:
    near = more_images(PairedCounts(950, 14, 10, 26), -0.005)
    far = more_images(PairedCounts(950, 14, 10, 26), -0.02)
    assert near is not None
    assert far is not None
    assert near > far >= 1
