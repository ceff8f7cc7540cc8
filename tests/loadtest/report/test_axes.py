"""Values find their place on an axis, and ticks are round."""

from __future__ import annotations

import pytest

from twinserve_loadtest.report.axes import Ruler, ruler_from_zero, ruler_over


def test_a_linear_axis_is_even() -> None:
    ruler = Ruler("linear", 0, 200)
    assert [ruler.position(value) for value in (0, 50, 200)] == [0, 25, 100]


def test_a_logarithmic_axis_gives_each_decade_the_same_room() -> None:
    ruler = Ruler("log", 1, 100)
    assert ruler.position(10) == pytest.approx(50)


def test_the_percentile_axis_gives_the_tail_room() -> None:
    ruler = Ruler("percentile", 0, 0.999)
    assert ruler.position(0.9) == pytest.approx(100 / 3, abs=0.01)
    assert ruler.position(0.99) == pytest.approx(200 / 3, abs=0.01)


def test_what_lies_outside_is_put_on_the_edge_not_off_the_page() -> None:
    assert Ruler("linear", 0, 10).position(11) == 100
    assert Ruler("log", 1, 10).position(0) == 0


@pytest.mark.parametrize(("low", "high"), [(0.7, 1.9), (0.5, 7.0), (0.4, 45.0), (0.2, 9000.0)])
def test_a_logarithmic_axis_has_three_to_nine_ticks_whatever_its_range(low: float, high: float) -> None:
    ticks = Ruler("log", low, high).ticks()
    assert 3 <= len(ticks) <= 9
    assert all(0 <= tick.position <= 100 for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)


def test_bars_start_at_zero_and_end_on_a_round_number() -> None:
    ruler = ruler_from_zero([3.2, 17.3])
    assert (ruler.low, ruler.high) == (0, 20)


def test_a_single_value_still_gets_an_axis() -> None:
    for scale in ("linear", "log"):
        ruler = ruler_over(scale, [5.0])
        assert 0 < ruler.position(5.0) < 100


def test_no_value_at_all_still_gives_an_axis() -> None:
    assert ruler_over("log", []).ticks()
    assert ruler_from_zero([]).ticks()
