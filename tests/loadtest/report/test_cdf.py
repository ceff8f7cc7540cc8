"""The curve is the sample's, its band holds the truth, and it ends where the sample does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from twinserve_loadtest.record.percentiles import histogram_of
from twinserve_loadtest.record.run import BandPoint
from twinserve_loadtest.report.cdf import highest_quantile, points_of_band, points_of_histogram


@pytest.fixture(scope="module")
def sample() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 1000 * np.exp(np.random.default_rng(3).normal(0, 0.4, 4000))


def test_marked_points_are_the_percentiles_of_the_sample(sample: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    points = points_of_histogram(histogram_of(sample))
    marked = {point.y: point.x for point in points if point.marker == "filled"}
    assert set(marked) == {0.5, 0.9, 0.99}
    for quantile, milliseconds in marked.items():
        exact = np.quantile(sample, quantile, method="inverted_cdf") / 1000
        assert milliseconds == pytest.approx(exact, rel=0.003)


def test_the_curve_rises(sample: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    points = points_of_histogram(histogram_of(sample))
    assert all(a.x <= b.x and a.y < b.y for a, b in pairwise(points))
    assert all(point.low is not None and point.low <= point.x for point in points)


def test_the_band_of_the_median_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(40):
        points = points_of_histogram(histogram_of(1000 * np.exp(rng.normal(0, 0.4, 400))))
        median = next(point for point in points if point.y == 0.5)
        assert median.low is not None
        assert median.high is not None
        covered += median.low <= 1.0 <= median.high
    assert 35 <= covered <= 40


@pytest.mark.parametrize(
    ("samples", "allowed", "refused"), [(700, 0.99, 0.999), (64, 0.9, 0.95), (7000, 0.999, 0.9999)]
)
def test_a_curve_ends_where_its_sample_carries_no_more(samples: int, allowed: float, refused: float) -> None:
    assert allowed <= highest_quantile(samples) < refused


def test_the_band_of_a_comparison_is_cut_in_the_same_place() -> None:
    band = [BandPoint(quantile, 900.0, 800.0, 1000.0) for quantile in (0.5, 0.9, 0.99, 0.999)]
    assert [point.y for point in points_of_band(band, 700)] == [0.5, 0.9, 0.99]


def test_an_empty_histogram_draws_nothing() -> None:
    assert points_of_histogram(histogram_of(np.array([]))) == []
