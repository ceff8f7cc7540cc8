"""More clients than can be answered, each with 100 ms: how much of the peak is still answered in time."""

from __future__ import annotations

import statistics
from typing import Final

from twinserve_bench.processes import twinserve
from twinserve_bench.reliability.driver import Driver
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

#: As many as keep the server busy and are all answered: the peak.
PEAK_CLIENTS: Final = 64
CLIENTS: Final = (512, 2000)
DEADLINE_MS: Final = 100


def run(bench: Bench) -> list[Finding]:
    """Each round measures the peak, and everything else as its share."""
    shares: dict[int, list[float]] = {count: [] for count in CLIENTS}
    with twinserve(bench.models, "--variants", "fp32,int8") as server:
        driver = Driver(server.port, bench.models, bench.seconds)
        for _ in range(bench.rounds):
            peak = driver.ask(PEAK_CLIENTS, deadline_ms=DEADLINE_MS).ok_per_second
            for count in CLIENTS:
                shares[count].append(driver.ask(count, deadline_ms=DEADLINE_MS).ok_per_second / peak)
    return [
        Finding(
            "deadlines",
            f"{count:,} clients, {DEADLINE_MS} ms: share of the peak",
            statistics.median(found),
            0.7,
            True,
            tuple(found),
        )
        for count, found in shares.items()
    ]
