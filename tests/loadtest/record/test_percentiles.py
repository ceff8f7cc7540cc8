"""A percentile is stated only when enough samples stand behind it."""

from __future__ import annotations

import pytest

from twinserve_loadtest.record.percentiles import least_samples, new_histogram, read_percentiles, why_withheld


@pytest.mark.parametrize(("percentile", "samples"), [(50.0, 11), (90.0, 64), (95.0, 130), (99.0, 662), (99.9, 6636)])
def test_least_samples_are_those_of_mlperf_early_stopping(percentile: float, samples: int) -> None:
    assert least_samples(percentile) == samples


@pytest.mark.parametrize("percentile", [0.0, 100.0, -1.0])
def test_there_is_no_least_sample_outside_of_0_to_100(percentile: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 100"):
        least_samples(percentile)


def test_a_percentile_is_withheld_one_sample_below_its_least_and_stated_at_it() -> None:
    histogram = new_histogram()
    for _ in range(661):
        histogram.record_value(500)
    assert [name for name, us in read_percentiles(histogram).items() if us is not None] == ["p50", "p90", "p95"]
    assert why_withheld(661)["p99"] == "needs 662 samples and has 661"

    histogram.record_value(500)
    assert read_percentiles(histogram)["p99"] == 500
    assert set(why_withheld(662)) == {"p99.9"}


def test_an_empty_histogram_states_nothing() -> None:
    assert set(read_percentiles(new_histogram()).values()) == {None}
    assert len(why_withheld(0)) == 5


def test_microseconds_survive_to_three_significant_figures() -> None:
    histogram = new_histogram()
    for value in range(1, 20_001):
        histogram.record_value(value)
    known = read_percentiles(histogram)
    assert known["p50"] == pytest.approx(10_000, rel=0.001)
    assert known["p99.9"] == pytest.approx(19_980, rel=0.001)
