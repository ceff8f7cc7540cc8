"""Axes of a chart: where a value lies, in per cent of the plot, and which ticks are drawn.

Positions are shares of the plot's width or height, so that one drawing fits any screen: the browser does the
multiplication, and text keeps its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from twinserve_loadtest.report.numbers import MINUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twinserve_loadtest.report.content import Scale

_TAIL_TICKS = ((0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))
#: Room on either side of a logarithmic axis, as a share of its length.
_ROOM = 0.05


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis; ``position`` is 0..100."""

    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Ruler:
    """A scale between two values."""

    scale: Scale
    low: float
    high: float

    def position(self, value: float) -> float:
        """Where ``value`` lies, 0..100; values outside are put on the edge."""
        low, high = self._at(self.low), self._at(self.high)
        share = (self._at(value) - low) / (high - low)
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def ticks(self) -> list[Tick]:
        """Round values inside the range, at most about seven."""
        if self.scale == "percentile":
            return [Tick(self.position(q), label) for q, label in _TAIL_TICKS if self.low <= q <= self.high]
        values = _log_values(self.low, self.high) if self.scale == "log" else _even_values(self.low, self.high)
        return [Tick(self.position(value), _label(value)) for value in values]

    def _at(self, value: float) -> float:
        if self.scale == "linear":
            return value
        if self.scale == "log":
            return math.log10(max(value, 1e-12))
        return -math.log10(max(1 - value, 1e-9))


def ruler_over(scale: Scale, values: Iterable[float], *, include: Iterable[float] = ()) -> Ruler:
    """A ruler that holds ``values`` and ``include`` with a little room around them."""
    inside = [value for value in (*values, *include) if math.isfinite(value) and (scale != "log" or value > 0)]
    if not inside:
        return Ruler(scale, 1.0 if scale == "log" else 0.0, 10.0 if scale == "log" else 1.0)
    low, high = min(inside), max(inside)
    if scale == "percentile":
        return Ruler(scale, 0.0, high)
    if scale == "log":
        if low == high:
            low, high = low / 1.5, high * 1.5
        room = (high / low) ** _ROOM
        return Ruler(scale, low / room, high * room)
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = _ROOM * (high - low)
    return Ruler(scale, low - room, high + room)


def ruler_from_zero(values: Iterable[float]) -> Ruler:
    """A linear ruler from 0, for bars; its end is a round number."""
    highest = max((value for value in values if math.isfinite(value)), default=1.0) or 1.0
    return Ruler("linear", 0.0, float(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, highest)[-1]))


def _even_values(low: float, high: float) -> list[float]:
    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(value) for value in found if low - slack <= value <= high + slack]


def _log_values(low: float, high: float) -> list[float]:
    if high / low < 3:
        return _even_values(low, high)
    steps: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7) if high / low < 8 else (1, 2, 5) if high / low < 200 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def _label(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", MINUS)
