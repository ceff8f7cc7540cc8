"""The design of the experiment: which arm runs when, with which images, on which schedule.

Two arms measured one after the other differ by whatever the machine did meanwhile. So time is cut into short
blocks, two to a *pair* (the same images in the same order, the same arrival times, one pair per arm), two
pairs to a *unit* in the order A B B A or B A A B, drawn by a seeded coin: a linear drift cancels inside a
unit, and no arm is always first. The unit is what :mod:`twinserve_loadtest.statistics.bootstrap` draws again.

Source: Box, Hunter & Hunter (2005), *Statistics for Experimenters*, 2nd ed., chapters 3 and 4 (blocking,
randomised paired comparisons). The control (A against A under the same design) is an A/A test: Kohavi, Tang
& Xu (2020), *Trustworthy Online Controlled Experiments*, chapter 19.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Phase = Literal["warm_up", "pilot", "control", "main", "slo", "crossover", "accuracy"]
Role = Literal["baseline", "candidate"]
Traffic = Literal["single_stream", "server", "offline"]

#: Least pairs before an interval is looked at.
LEAST_PAIRS = 20
PAIRS_PER_UNIT = 2
#: TorchScript specialises during its first calls of a shape: about 20 of them are slow.
WARM_UP_CALLS = 32


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What one block does. Blocks of a pair differ in ``arm`` and ``role`` alone."""

    scenario: str
    #: How requests are sent: one in flight, open loop by a schedule, or as fast as batches go.
    traffic: Traffic
    phase: Phase
    role: Role
    #: Number of the pair inside the phase; -1 outside pairs (warm-up, pilot).
    pair: int
    #: Index of the first test image; further ones follow in order, starting over at the end.
    first_image: int
    requests: int
    images_per_request: int
    #: Offered requests a second of the open loop; None elsewhere.
    rate: float | None
    #: Seeds the arrival times of the open loop.
    seed: int


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """One of the three questions and the size of its blocks."""

    name: str
    description: str
    traffic: Traffic
    #: Quantiles (0..1) whose ratios are effects.
    quantiles: tuple[float, ...]
    #: The one of them that steers precision; None: throughput does.
    steering_quantile: float | None
    requests: int
    images_per_request: int = 1
    rate: float | None = None
    #: Share of the time for the main phase that this scenario gets.
    weight: float = 1.0

    @property
    def images_per_block(self) -> int:
        """Images that one block sends."""
        return self.requests * self.images_per_request


def unit_blocks(plan: ScenarioPlan, phase: Phase, unit: int, *, seed: int, images: int) -> Iterator[BlockPlan]:
    """The four blocks of one unit, in the order in which they run.

    Args:
        plan: the scenario.
        phase: "control" or "main"; each has its own images, arrivals and coin.
        unit: number of the unit, from 0.
        seed: of the whole experiment.
        images: size of the test set.
    """
    coin = np.random.default_rng([seed, unit, *plan.name.encode(), *phase.encode()])
    first: Role = "baseline" if coin.random() < 0.5 else "candidate"
    second: Role = "candidate" if first == "baseline" else "baseline"
    for position, role in enumerate((first, second, second, first)):
        pair = unit * PAIRS_PER_UNIT + position // PAIRS_PER_UNIT
        yield BlockPlan(
            scenario=plan.name,
            traffic=plan.traffic,
            phase=phase,
            role=role,
            pair=pair,
            first_image=(pair * plan.images_per_block) % images,
            requests=plan.requests,
            images_per_request=plan.images_per_request,
            rate=plan.rate,
            seed=pair_seed(seed, plan.name, phase, pair),
        )


def pair_seed(seed: int, scenario: str, phase: Phase, pair: int) -> int:
    """The seed of a pair's arrival times: the same for both arms, different from every other pair's."""
    return int(np.random.default_rng([seed, pair, *scenario.encode(), *phase.encode(), 1]).integers(2**31))
