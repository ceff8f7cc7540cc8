"""Charts as positions: what a template needs to draw one, in per cent of the plot.

Lines and bands are paths in a square of 1000 x 1000 that the browser stretches over the plot (their strokes
keep their width); marks, ticks and text are placed in per cent and keep their size. So one drawing is right
on a phone and on a wide screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.report.axes import Ruler, Tick, ruler_from_zero, ruler_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.report.content import EffectChart, IntervalChart, LineChart, Point, StackedChart

_SIDE = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that is drawn."""

    x: float
    y: float
    hollow: bool
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One series: a path, its band and its marks."""

    variant: str
    path: str
    band: str
    marks: list[Mark]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """A drawn :class:`LineChart`; ``limit`` is a position on y."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    limit: float | None


@dataclass(frozen=True, slots=True)
class RowPlot:
    """One row of a drawn chart: a bar from ``start`` to ``value``, whiskers, and a grey zone."""

    value: float | None
    low: float | None
    high: float | None
    zone: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RowsPlot:
    """Rows on one ruler; ``one`` is where a ratio of 1 lies."""

    ticks: list[Tick]
    rows: list[RowPlot]
    one: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a stacked bar."""

    start: float
    width: float


def line_plot(chart: LineChart) -> LinePlot:
    """Positions of lines, bands, marks and ticks."""
    points = [point for series in chart.series for point in series.points]
    ends = [end for point in points for end in (point.low, point.high) if end is not None]
    on_x = [point.x for point in points] + (ends if chart.band == "x" else [])
    on_y = [point.y for point in points] + (ends if chart.band == "y" else [])
    limits = [chart.limit.y] if chart.limit else []
    x = ruler_over(chart.x.scale, on_x, include=[0.0] if chart.x.scale == "linear" else [])
    y = ruler_over(chart.y.scale, on_y, include=limits)
    lines = [
        Line(
            series.variant,
            _path([(x.position(point.x), y.position(point.y)) for point in series.points]),
            _band(series.points, x, y, along_x=chart.band == "x"),
            [
                Mark(x.position(point.x), 100 - y.position(point.y), point.marker == "hollow", point.title)
                for point in series.points
                if point.marker != "none"
            ],
        )
        for series in chart.series
    ]
    limit = 100 - y.position(chart.limit.y) if chart.limit else None
    return LinePlot(x.ticks(), [Tick(100 - tick.position, tick.label) for tick in y.ticks()], lines, limit)


def interval_plot(chart: IntervalChart) -> RowsPlot:
    """Positions of bars (from zero) or dots, with their whiskers."""
    values = [value for row in chart.rows for value in (row.value, row.low, row.high) if value is not None]
    ruler = ruler_from_zero(values) if chart.style == "bar" else ruler_over("linear", values)
    rows = [RowPlot(ruler.position(row.value), _maybe(ruler, row.low), _maybe(ruler, row.high)) for row in chart.rows]
    return RowsPlot(ruler.ticks(), rows)


def effect_plot(chart: EffectChart) -> RowsPlot:
    """Positions of ratios around 1."""
    values = [value for row in chart.rows for value in (row.estimate, row.low, row.high) if value is not None]
    floors = [row.noise_floor for row in chart.rows if row.noise_floor]
    ruler = ruler_over("log", values, include=[1.0, *floors, *(1 / floor for floor in floors)])
    rows = [
        RowPlot(
            _maybe(ruler, row.estimate),
            _maybe(ruler, row.low),
            _maybe(ruler, row.high),
            (ruler.position(1 / row.noise_floor), ruler.position(row.noise_floor)) if row.noise_floor else None,
        )
        for row in chart.rows
    ]
    return RowsPlot(ruler.ticks(), rows, ruler.position(1.0))


def stacked_plot(chart: StackedChart) -> tuple[list[Tick], list[list[Segment]]]:
    """Ticks, and for each bar its segments."""
    ruler = ruler_from_zero([stack.total for stack in chart.stacks])
    bars = []
    for stack in chart.stacks:
        start, segments = 0.0, []
        for part in stack.parts:
            end = start + part.value
            left, right = ruler.position(start), ruler.position(end)
            segments.append(Segment(left, round(right - left, 3)))
            start = end
        bars.append(segments)
    return ruler.ticks(), bars


def _path(positions: Sequence[tuple[float, float]]) -> str:
    """An SVG path through ``positions`` (0..100, y upwards)."""
    return (
        "M" + "L".join(f"{_SIDE * x / 100:.1f} {_SIDE * (1 - y / 100):.1f}" for x, y in positions) if positions else ""
    )


def _band(points: Sequence[Point], x: Ruler, y: Ruler, *, along_x: bool) -> str:
    lows, highs = [], []
    for point in points:
        if point.low is None or point.high is None:
            continue
        if along_x:
            lows.append((x.position(point.low), y.position(point.y)))
            highs.append((x.position(point.high), y.position(point.y)))
        else:
            lows.append((x.position(point.x), y.position(point.low)))
            highs.append((x.position(point.x), y.position(point.high)))
    return f"{_path([*lows, *reversed(highs)])}Z" if len(lows) > 1 else ""


def _maybe(ruler: Ruler, value: float | None) -> float | None:
    return None if value is None else ruler.position(value)
