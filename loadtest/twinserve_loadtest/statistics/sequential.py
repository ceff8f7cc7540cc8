"""Looks accounted for: how confident each interim interval must be so that all looks together keep 95 %.

Whoever looks at an interval again and again, and stops when it pleases, finds differences that are not
there. The remedy here is a group-sequential design: the two-sided error ``alpha`` is spent over the looks by
the O'Brien-Fleming-like spending function of Lan & DeMets, with elapsed time as the clock, and the interval
shown at look k is the *repeated confidence interval* of Jennison & Turnbull: estimate +/- z_k x standard
error. With probability 1 - alpha every one of them holds the truth, so it does not matter what ended the
measurement: a gate decided, the precision reached, the time up.

Sources:
    Lan & DeMets (1983), "Discrete sequential boundaries for clinical trials", Biometrika 70(3), 659-663.
    Lan & DeMets (1989), "Group sequential procedures: calendar versus information time", Statistics in
    Medicine 8(10), 1191-1198.
    Armitage, McPherson & Rowe (1969), "Repeated significance tests on accumulating data", JRSS A 132(2),
    235-244: the recursion for the crossing probabilities.
    Jennison & Turnbull (1989), "Interim analyses: the repeated confidence interval approach", JRSS B 51(3),
    305-361.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Beyond this many standard errors, a look spends a negligible part of the error.
_LARGEST_Z = 8.0
_GRID_POINTS = 1001


def obrien_fleming_spending(fraction: float, alpha: float) -> float:
    """Two-sided error spent when ``fraction`` (0..1) of the experiment is over.

    Each side spends alpha_1*(t) = 2 (1 - Phi(z_{alpha/4} / sqrt(t))) of its alpha / 2: Lan & DeMets (1983),
    the first of their functions.
    """
    if fraction <= 0:
        return 0.0
    critical = float(stats.norm.isf(alpha / 4))
    return float(4 * stats.norm.sf(critical / math.sqrt(min(fraction, 1.0))))


class SequentialLooks:
    """The looks of one experiment, in order.

    Args:
        alpha: two-sided error of all looks together.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        self._alpha = alpha
        self._spent = 0.0
        self._information = 0.0
        # Density of the score (z x sqrt(information)) over the experiments that go on, on a grid.
        self._grid: NDArray[np.float64] = np.zeros(1)
        self._density: NDArray[np.float64] = np.ones(1)

    @property
    def alpha_spent(self) -> float:
        """Two-sided error spent so far."""
        return self._spent

    def look(self, fraction: float, information: float) -> float:
        """Take a look and return the confidence (0..1) of its interval.

        Args:
            fraction: share of the planned experiment that is over; at the last look 1, however it ended.
            information: what the standard error shrinks with: the number of units so far.

        Raises:
            ValueError: ``information`` did not grow since the last look, or ``fraction`` is not in (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction is {fraction}: it must lie above 0 and at most be 1")
        if information <= self._information:
            raise ValueError(f"information is {information}: it must exceed the last look's {self._information}")
        to_spend = max(obrien_fleming_spending(fraction, self._alpha) - self._spent, 0.0)
        critical = self._boundary(information, to_spend)
        self._advance(information, critical)
        self._spent += to_spend
        self._information = information
        return 1 - 2 * float(stats.norm.sf(critical))

    def _crossing(self, critical: float, information: float) -> float:
        """Probability of going on until now and then to lie beyond +/- ``critical``."""
        step = math.sqrt(information - self._information)
        edge = critical * math.sqrt(information)
        beyond = stats.norm.sf((edge - self._grid) / step) + stats.norm.cdf((-edge - self._grid) / step)
        return self._integrate(beyond)

    def _boundary(self, information: float, to_spend: float) -> float:
        if self._crossing(_LARGEST_Z, information) >= to_spend:
            return _LARGEST_Z
        return float(optimize.brentq(lambda z: self._crossing(z, information) - to_spend, 0.0, _LARGEST_Z, xtol=1e-6))

    def _advance(self, information: float, critical: float) -> None:
        """The density of the score at this look, inside the boundary."""
        step = math.sqrt(information - self._information)
        edge = critical * math.sqrt(information)
        grid = np.linspace(-edge, edge, _GRID_POINTS)
        moved = stats.norm.pdf((grid[:, None] - self._grid[None, :]) / step) / step
        self._density, self._grid = np.array([self._integrate(row) for row in moved]), grid

    def _integrate(self, values: NDArray[np.float64]) -> float:
        if len(self._grid) == 1:  # before the first look the score is 0 for certain
            return float(values[0])
        return float(np.trapezoid(values * self._density, self._grid))
