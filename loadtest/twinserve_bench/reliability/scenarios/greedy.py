"""Ten clients with one request in flight, beside one with 256: how much longer their p99 becomes."""

from __future__ import annotations

import statistics
from typing import Final

from twinserve_bench.processes import twinserve
from twinserve_bench.reliability.driver import Driver
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

MODEST, GREEDY_IN_FLIGHT = 10, 256
#: The greedy one starts before the ten and ends after them.
MARGIN_SECONDS: Final = 6.0


def run(bench: Bench) -> list[Finding]:
    """Each round measures the ten alone, then beside the greedy one."""
    ratios: list[float] = []
    with twinserve(bench.models, "--variants", "fp32,int8") as server:
        driver = Driver(server.port, bench.models, bench.seconds)
        for _ in range(bench.rounds):
            alone = driver.ask(MODEST).p99_ms
            greedy = driver.start(1, in_flight=GREEDY_IN_FLIGHT, extra=MARGIN_SECONDS)
            ratios.append(driver.ask(MODEST).p99_ms / alone)
            greedy.outcome()
    what = f"{MODEST} clients beside one with {GREEDY_IN_FLIGHT} in flight: p99, times their own"
    return [Finding("greedy", what, statistics.median(ratios), 3, False, tuple(ratios))]
