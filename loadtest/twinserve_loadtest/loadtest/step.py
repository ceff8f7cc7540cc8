"""The highest rate that a variant sustains: open loops at growing rates, then halving the gap.

A rate is sustained when p99 (from the intended send) stays within the limit, fewer than 0.1 % of the
requests fail, and the schedule was kept. Where the generator cannot keep a schedule the search ends, and
the rate found is only a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.spec import ROUTED, BlockSpec
from twinserve_loadtest.generate.validity import ACHIEVED_LIMIT, busy_reasons, late_reasons
from twinserve_loadtest.loadtest.summarise import latency
from twinserve_loadtest.record.percentiles import least_samples
from twinserve_loadtest.record.run import RatePoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from twinserve_loadtest.generate.record import BlockRecord

GROWTH = 2.0
REFINEMENTS = 4
MOST_STEPS = 16
FAILURE_LIMIT = 0.001
SPARE_SAMPLES = 1.2
"""A Poisson schedule may hold fewer arrivals than rate x seconds."""


@dataclass(frozen=True, slots=True)
class StepSearch:
    """How to search.

    Args:
        first_rate: Requests per second of the first step.
        p99_limit_us: The most that p99 may be.
        seconds: Least length of a step; low rates take longer, until p99 has its least samples.
        seed: Draws the schedules.
    """

    first_rate: float
    p99_limit_us: float
    seconds: float
    seed: int

    def run(self, variant: str, run_block: Callable[[BlockSpec], BlockRecord]) -> tuple[float | None, list[RatePoint]]:
        """Search for ``variant``; returns the highest rate sustained (None: not even the first), and every step."""
        steps: list[RatePoint] = []
        sustained: float | None = None
        failed: float | None = None
        rate = self.first_rate
        refined = 0
        while len(steps) < MOST_STEPS and refined <= REFINEMENTS:
            record = run_block(self._block(variant, rate))
            step = self.judge_step(record)
            steps.append(step)
            if step.generator_bound or record.aborted:
                break
            if step.sustained:
                sustained = rate
            else:
                failed = rate
            if failed is None:
                rate *= GROWTH
            elif sustained is None:
                rate /= 2
                refined += 1
            else:
                rate = (sustained + failed) / 2
                refined += 1
        return sustained, steps

    def first_block(self, variant: str) -> BlockSpec:
        """The block with which the search for ``variant`` begins."""
        return self._block(variant, self.first_rate)

    def _block(self, variant: str, rate: float) -> BlockSpec:
        seconds = max(self.seconds, least_samples(99) * SPARE_SAMPLES / rate)
        return BlockSpec.open(variant, rate, seconds=seconds, seed=self.seed)

    def judge_step(self, record: BlockRecord) -> RatePoint:
        """Whether the rate of ``record`` counts as sustained, and if not, why."""
        tally = record.tally()
        p99 = latency(tally).at("p99")
        failures = tally.requests - tally.codes[OK]
        kept = not record.dropped and record.achieved_rate >= ACHIEVED_LIMIT * record.offered_rate
        reason, bound = "", False
        if record.aborted:
            reason = record.aborted
        elif failures > FAILURE_LIMIT * tally.requests:
            reason = f"{failures} of {tally.requests} requests failed"
        elif p99 is None:
            reason = f"{tally.codes[OK]} answers are too few for a p99"
        elif not kept or p99 > self.p99_limit_us:
            # A late generator makes p99 greater, never smaller: it matters only where the limit is missed.
            own = busy_reasons(record) + late_reasons(record)
            bound = bool(own)
            missed = f"p99 is {p99 / 1000:.1f} ms; the limit is {self.p99_limit_us / 1000:.1f} ms"
            reason = "; ".join(own) or (missed if kept else f"{record.achieved_rate:.0f} requests/s were sent")
        return RatePoint(
            arm=record.spec.variant or ROUTED,
            offered_rate=record.spec.rate or 0.0,
            achieved_rate=record.achieved_rate,
            percentiles_us={"p99": p99},
            error_share=failures / tally.requests if tally.requests else 0.0,
            sustained=not reason,
            reason=reason,
            generator_bound=bound,
        )
