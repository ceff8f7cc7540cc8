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

import numpy as np

from twinserve_loadtest.record.blocks import BlockPlan
from twinserve_loadtest.record.terms import Phase, Role, Scenario

#: Least pairs before an interval is looked at.
LEAST_PAIRS = 20
PAIRS_PER_UNIT = 2
#: TorchScript specialises during its first calls of a shape: about 20 of them are slow.
WARM_UP_CALLS = 32
#: The words that seed the draws: older names, so that a published seed repeats its draws.
_SEED_WORDS = {"single-stream": "single_stream", "open": "server"}


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """One of the three questions and the size of its blocks."""

    #: A scenario, or the place of a cell on the crossover map.
    name: str
    traffic: Scenario
    #: Quantiles (0..1) whose ratios are effects.
    quantiles: tuple[float, ...]
    #: The one of them that steers precision; None: throughput does.
    steering_quantile: float | None
    requests: int
    images_per_request: int = 1
    rate: float | None = None
    #: Share of the time for the main phase that this scenario gets.
    weight: float = 1.0
    #: That a forward pass may use.
    threads: int = 1

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
    coin = np.random.default_rng([seed, unit, *seed_words(plan.name), *phase.encode()])
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
            threads=plan.threads,
        )


def pair_seed(seed: int, scenario: str, phase: Phase, pair: int) -> int:
    """The seed of a pair's arrival times: the same for both arms, different from every other pair's."""
    return int(np.random.default_rng([seed, pair, *seed_words(scenario), *phase.encode(), 1]).integers(2**31))


def seed_words(scenario: str) -> bytes:
    """What a scenario adds to a seed."""
    return _SEED_WORDS.get(scenario, scenario).encode()
