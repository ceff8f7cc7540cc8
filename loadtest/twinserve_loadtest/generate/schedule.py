"""Schedules drawn before the first request: arrival times and the order of the images.

Both depend on the seed alone, so that every variant meets the same images at the same moments.
Distributed over several Locust workers, arrival ``k`` belongs to worker ``k mod workers``: the
union over the workers is exactly the one schedule that was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


RUN = 1024


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a load that one generating process carries: every ``count``-th, from ``index``."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"share {self.index} of {self.count} does not exist")


def poisson_arrivals(
    rate: float, seed: int, *, seconds: float | None = None, requests: int | None = None
) -> npt.NDArray[np.float64]:
    """Arrival times of a Poisson process: exponential gaps of mean ``1 / rate``.

    Args:
        rate: Arrivals per second.
        seed: The same seed gives the same schedule.
        seconds: End of the schedule, and/or
        requests: its number of arrivals; one of them must be given.

    Returns:
        Seconds from the start, ascending, all below ``seconds``.

    Raises:
        ValueError: neither ``seconds`` nor ``requests`` is given.
    """
    if seconds is None and requests is None:
        raise ValueError("a schedule needs an end: seconds, requests, or both")
    generator = np.random.default_rng(seed)
    # Gaps are drawn in runs of a fixed size, so that a longer schedule begins with the shorter one.
    arrivals = np.empty(0)
    while (requests is None or len(arrivals) < requests) and (
        seconds is None or not len(arrivals) or arrivals[-1] < seconds
    ):
        begun = arrivals[-1] if len(arrivals) else 0.0
        arrivals = np.concatenate([arrivals, begun + np.cumsum(generator.exponential(1 / rate, RUN))])
    if seconds is not None:
        arrivals = arrivals[arrivals < seconds]
    return arrivals[:requests]


def shuffled(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The images 0..count-1 in a seeded random order; a load longer than that starts over."""
    return np.random.default_rng(seed).permutation(count)


def indices_of(request: int, batch: int, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The images of the ``request``-th request of a load that cycles through ``order``."""
    start = request * batch % len(order)
    taken = order[start : start + batch]
    if len(taken) == batch:
        return taken
    return np.take(order, np.arange(start, start + batch), mode="wrap")
