"""Ratios of percentiles and rates over units of blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from twinserve_loadtest.record.percentiles import histogram_of, merge_histograms
from twinserve_loadtest.statistics.bootstrap import (
    LatencyTable,
    LogRatio,
    cdf_band,
    percentile_ratios,
    rate_interval,
    rate_ratio,
)


def units_of(
    rng: np.random.Generator, units: int, requests: int, factor: float, moods: np.ndarray
) -> list[list[HdrHistogram]]:
    """Units whose blocks share a mood with the other arm's."""
    return [[histogram_of(factor * moods[unit] * rng.lognormal(7, 0.2, requests))] for unit in range(units)]


def test_percentiles_are_those_of_the_merged_histogram() -> None:
    rng = np.random.default_rng(1)
    histograms = [histogram_of(rng.lognormal(7, 0.5, 700)) for _ in range(5)]
    table = LatencyTable([[histogram] for histogram in histograms])
    found = table.quantiles(np.ones((1, 5)), [0.5, 0.9, 0.99])[0]
    merged = merge_histograms(histograms)
    assert found.tolist() == [merged.get_value_at_percentile(p) for p in (50, 90, 99)]
    assert table.samples == 3500


def test_drawing_a_unit_twice_counts_it_twice() -> None:
    table = LatencyTable([[histogram_of(np.full(10, 100.0))], [histogram_of(np.full(10, 900.0))]])
    assert table.quantiles(np.array([[2.0, 0.0], [0.0, 2.0]]), [0.5])[:, 0].tolist() == [100, 900]


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    hits = {0.5: 0, 0.99: 0}
    runs, truth = 300, 1.25
    for seed in range(runs):
        rng = np.random.default_rng([31, seed])
        moods = np.exp(rng.normal(0, 0.1, 12))
        baseline = LatencyTable(units_of(rng, 12, 120, truth, moods))
        candidate = LatencyTable(units_of(rng, 12, 120, 1.0, moods))
        for quantile, ratio in zip(hits, percentile_ratios(baseline, candidate, list(hits), rng), strict=True):
            assert ratio is not None
            found = ratio.interval(0.95)
            hits[quantile] += found.low <= truth <= found.high
    assert all(0.91 <= count / runs <= 0.995 for count in hits.values()), hits


def test_pairing_removes_the_mood_that_both_arms_share() -> None:
    rng = np.random.default_rng(5)
    moods = np.exp(rng.normal(0, 0.4, 20))
    baseline, candidate = units_of(rng, 20, 150, 1.0, moods), units_of(rng, 20, 150, 1.0, moods)
    paired = percentile_ratios(LatencyTable(baseline), LatencyTable(candidate), [0.5], rng)[0]
    shifted = candidate[7:] + candidate[:7]
    unpaired = percentile_ratios(LatencyTable(baseline), LatencyTable(shifted), [0.5], rng)[0]
    assert paired is not None
    assert unpaired is not None
    assert paired.half_width(0.95) < 0.5 * unpaired.half_width(0.95)


def test_a_percentile_below_its_least_sample_count_has_no_ratio() -> None:
    rng = np.random.default_rng(6)
    few = LatencyTable([[histogram_of(rng.lognormal(7, 0.2, 66))] for _ in range(10)])  # 660 samples; p99 needs 662
    p90, p99 = percentile_ratios(few, few, [0.9, 0.99], rng)
    assert p90 is not None
    assert p99 is None


def test_one_unit_has_no_interval() -> None:
    table = LatencyTable([[histogram_of(np.full(1000, 500.0))]])
    assert percentile_ratios(table, table, [0.5], np.random.default_rng(0)) == [None]
    assert rate_ratio(np.ones((1, 2)), np.ones((1, 2)), np.random.default_rng(0)) is None


def test_a_rate_is_total_amount_over_total_time_not_a_mean_of_rates() -> None:
    baseline = np.array([[100.0, 1.0], [100.0, 3.0]])
    candidate = np.array([[100.0, 1.0], [100.0, 1.0]])
    found = rate_ratio(baseline, candidate, np.random.default_rng(0))
    assert found is not None
    assert math.exp(found.log_estimate) == pytest.approx(2.0)


def test_more_confidence_means_a_wider_interval_around_the_same_estimate() -> None:
    ratio = LogRatio(math.log(1.5), 0.02, 20)
    narrow, wide = ratio.interval(0.95), ratio.interval(0.999)
    assert narrow.estimate == wide.estimate == pytest.approx(1.5)
    assert wide.low < narrow.low < 1.5 < narrow.high < wide.high


def test_the_band_of_a_cdf_holds_its_curve() -> None:
    rng = np.random.default_rng(8)
    table = LatencyTable([[histogram_of(rng.lognormal(7, 0.3, 100))] for _ in range(15)])
    for point in cdf_band(table, [0.1, 0.5, 0.9], rng):
        assert point.low_us <= point.value_us <= point.high_us


def test_the_interval_of_a_rate_holds_the_truth_as_often_as_it_says_also_when_blocks_of_a_unit_share_a_mood() -> None:
    """500 images a second: units differ by 10 %, the blocks inside a unit hardly at all."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(100):
        seconds = 0.4 * np.exp(rng.normal(0, 0.1, 12) - 0.005)
        found = rate_interval(np.column_stack([np.full(12, 200.0), seconds]), rng)
        assert found is not None
        held += found.low <= 500 <= found.high
    assert 88 <= held <= 100


def test_a_rate_of_one_unit_or_of_nothing_has_no_interval() -> None:
    rng = np.random.default_rng(1)
    assert rate_interval(np.array([[200.0, 0.4]]), rng) is None
    assert rate_interval(np.array([[0.0, 0.4], [0.0, 0.4]]), rng) is None
