"""Charts become positions in per cent: on any screen the same picture."""

from __future__ import annotations

import re

import pytest

from twinserve_loadtest.report.charts import effect_plot, interval_plot, line_plot, stacked_plot
from twinserve_loadtest.report.content import (
    Axis,
    EffectChart,
    EffectRow,
    IntervalChart,
    IntervalRow,
    Limit,
    LineChart,
    Part,
    Point,
    Series,
    Stack,
    StackedChart,
)


def effect(estimate: float | None, low: float | None, high: float | None, floor: float | None) -> EffectRow:
    return EffectRow("p50", "server", "", estimate, low, high, floor, "none", "")


def test_a_line_is_one_path_inside_the_plot_with_its_band() -> None:
    points = [Point(1, 10, 9, 12), Point(2, 20, 18, 23), Point(4, 15, 14, 17, "filled", "here")]
    plot = line_plot(LineChart(Axis("x", "log"), Axis("y"), [Series("a", points)], "y", ""))
    line = plot.lines[0]
    numbers = [float(number) for number in re.findall(r"[\d.]+", line.path + line.band)]
    assert len(numbers) == 2 * (3 + 6)
    assert all(0 <= number <= 1000 for number in numbers)
    assert line.band.endswith("Z")
    assert [mark.title for mark in line.marks] == ["here"]


def test_a_line_without_intervals_has_no_band() -> None:
    plot = line_plot(LineChart(Axis("x"), Axis("y"), [Series("a", [Point(1, 1), Point(2, 2)])], "y", ""))
    assert plot.lines[0].band == ""


def test_the_limit_is_always_inside_the_plot() -> None:
    chart = LineChart(Axis("x"), Axis("y", "log"), [Series("a", [Point(1, 1), Point(2, 2)])], "y", "", Limit(50, "50"))
    limit = line_plot(chart).limit
    assert limit is not None
    assert 0 < limit < 100


def test_bars_are_proportional_from_zero() -> None:
    rows = [IntervalRow("a", "a", 10, ""), IntervalRow("b", "b", 40, "", 38, 42)]
    plot = interval_plot(IntervalChart(Axis(""), rows, "bar", ""))
    first, second = plot.rows
    assert first.value is not None
    assert second.value == pytest.approx(4 * first.value, rel=1e-3)
    assert second.low is not None
    assert second.high is not None
    assert second.low < (second.value or 0) < second.high


def test_equal_gain_and_loss_lie_equally_far_from_one() -> None:
    rows = [effect(2.0, 1.8, 2.2, 1.1), effect(0.5, 0.45, 0.55, 1.1)]
    plot = effect_plot(EffectChart(Axis("", "log"), rows, "higher", "a", "b", ""))
    assert plot.one is not None
    gain, loss = plot.rows
    assert (gain.value or 0) - plot.one == pytest.approx(plot.one - (loss.value or 0), abs=0.01)
    assert gain.zone is not None
    assert gain.zone[0] < plot.one < gain.zone[1]


def test_an_effect_that_is_not_known_is_not_drawn() -> None:
    plot = effect_plot(EffectChart(Axis("", "log"), [effect(None, None, None, None)], "higher", "a", "b", ""))
    assert plot.rows[0].value is None
    assert plot.rows[0].zone is None


def test_segments_follow_each_other_without_gap() -> None:
    parts = [Part("a", 1, 0.25), Part("b", 3, 0.75, emphasis=True)]
    _, bars = stacked_plot(StackedChart(Axis(""), [Stack("x", 4.0, parts)], ""))
    first, second = bars[0]
    assert first.start == 0
    assert second.start == pytest.approx(first.width)
    assert second.width == pytest.approx(3 * first.width, abs=0.01)
