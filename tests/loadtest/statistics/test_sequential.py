"""Looks accounted for: published boundaries, and the promise kept by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from twinserve_loadtest.statistics.sequential import SequentialLooks, obrien_fleming_spending


def critical_values(fractions: list[float], information: list[float]) -> list[float]:
    """The z that each look's confidence stands for."""
    looks = SequentialLooks(0.05)
    return [
        float(stats.norm.isf((1 - looks.look(fraction, units)) / 2))
        for fraction, units in zip(fractions, information, strict=True)
    ]


def test_five_equal_looks_have_the_published_boundaries() -> None:
    # Lan-DeMets, O'Brien-Fleming type, two-sided 5 %: Reboussin, DeMets, Kim & Lan (2000), Controlled Clinical
    # Trials 21, 190-207.
    found = critical_values([0.2, 0.4, 0.6, 0.8, 1.0], [1, 2, 3, 4, 5])
    assert found == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_a_single_look_costs_nothing() -> None:
    assert SequentialLooks(0.05).look(1.0, 20) == pytest.approx(0.95, abs=1e-6)


def test_all_error_is_spent_at_the_end_and_never_more() -> None:
    looks = SequentialLooks(0.05)
    for fraction, units in ((0.31, 11), (0.52, 17), (0.53, 18), (1.0, 40)):
        looks.look(fraction, units)
        assert looks.alpha_spent == pytest.approx(obrien_fleming_spending(fraction, 0.05))
    assert looks.alpha_spent == pytest.approx(0.05)


def test_an_experiment_cut_short_spends_the_rest_at_its_last_look() -> None:
    looks = SequentialLooks(0.05)
    looks.look(0.4, 20)
    looks.look(1.0, 24)
    assert looks.alpha_spent == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("fraction", "information", "word"), [(0.0, 5, "fraction"), (1.2, 5, "fraction"), (0.5, 3, "information")]
)
def test_a_look_that_cannot_be_is_refused(fraction: float, information: float, word: str) -> None:
    looks = SequentialLooks()
    looks.look(0.3, 4)
    with pytest.raises(ValueError, match=word):
        looks.look(fraction, information)


def test_every_interval_holds_the_truth_in_95_of_100_experiments_however_they_end() -> None:
    """The repeated intervals of whole experiments: the share in which any one of them misses is at most 5 %."""
    rng, runs, information = np.random.default_rng(21), 40_000, [20, 30, 40, 50]
    critical = critical_values([0.4, 0.6, 0.8, 1.0], [float(units) for units in information])
    sums = np.cumsum(rng.standard_normal((runs, max(information))), axis=1)
    z = sums[:, [units - 1 for units in information]] / np.sqrt(information)
    missed = (np.abs(z) > critical).any(axis=1).mean()
    assert missed == pytest.approx(0.05, abs=0.004)


def test_looking_without_correction_would_break_the_promise() -> None:
    rng, runs, information = np.random.default_rng(22), 40_000, [20, 30, 40, 50]
    sums = np.cumsum(rng.standard_normal((runs, max(information))), axis=1)
    z = sums[:, [units - 1 for units in information]] / np.sqrt(information)
    assert (np.abs(z) > stats.norm.isf(0.025)).any(axis=1).mean() > 0.09
