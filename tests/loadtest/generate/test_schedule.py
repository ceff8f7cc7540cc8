"""What is sent, and when, is drawn before the first request and depends on the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from twinserve_loadtest.generate.schedule import Share, indices_of, poisson_arrivals, shuffled


def test_the_same_seed_draws_the_same_arrivals_and_another_seed_others() -> None:
    first = poisson_arrivals(300, 7, seconds=5)
    assert np.array_equal(first, poisson_arrivals(300, 7, seconds=5))
    assert not np.array_equal(first[:100], poisson_arrivals(300, 8, seconds=5)[:100])


def test_gaps_are_exponential_with_the_mean_of_the_rate() -> None:
    gaps = np.diff(poisson_arrivals(250, 11, seconds=60))
    assert stats.kstest(gaps, stats.expon(scale=1 / 250).cdf).pvalue > 0.01


def test_a_schedule_ends_by_seconds_or_by_requests_whichever_is_first() -> None:
    assert poisson_arrivals(1000, 1, seconds=2).max() < 2
    assert len(poisson_arrivals(1000, 1, requests=5000)) == 5000
    assert len(poisson_arrivals(1000, 1, seconds=100, requests=10)) == 10
    with pytest.raises(ValueError, match="needs an end"):
        poisson_arrivals(1000, 1)


def test_a_longer_schedule_begins_with_the_shorter_one() -> None:
    short, long = poisson_arrivals(400, 3, seconds=1), poisson_arrivals(400, 3, seconds=30)
    assert np.array_equal(short, long[: len(short)])


def test_the_shares_of_all_workers_are_the_schedule() -> None:
    arrivals = poisson_arrivals(500, 5, seconds=3)
    shares = [Share(index, 3) for index in range(3)]
    together = np.concatenate([arrivals[share.index :: share.count] for share in shares])
    assert np.array_equal(np.sort(together), arrivals)
    with pytest.raises(ValueError, match="does not exist"):
        Share(3, 3)


def test_every_image_comes_once_before_any_comes_again() -> None:
    order = shuffled(100, 4)
    sent = np.concatenate([indices_of(request, 7, order) for request in range(200)])
    assert sorted(sent[:100]) == list(range(100))
    assert np.array_equal(sent[:100], sent[100:200])


def test_a_batch_may_be_larger_than_the_test_set() -> None:
    assert sorted(indices_of(0, 10, np.arange(4)).tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
