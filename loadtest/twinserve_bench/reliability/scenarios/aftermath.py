"""What an overload leaves behind: the gateways' memory once it is over, as a multiple of what it was before."""

from __future__ import annotations

import statistics
import time
from typing import Final

from twinserve_bench.processes import gateways_mib, twinserve
from twinserve_bench.reliability.driver import Driver
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

#: Far more than are answered in time.
CLIENTS: Final = 2000
WARM_UP_CLIENTS: Final = 64
DEADLINE_MS: Final = 100
#: How long the gateways have to return memory.
SECONDS: Final = 20.0


def run(bench: Bench) -> list[Finding]:
    """Each round with a server of its own: the first overload is the one that makes it grow."""
    ratios = []
    for _ in range(bench.rounds):
        with twinserve(bench.models, "--variants", "fp32,int8", "--profile", "isolated") as server:
            driver = Driver(server.port, bench.models, bench.seconds)
            driver.ask(WARM_UP_CLIENTS)
            before = gateways_mib(server.pid)
            driver.ask(CLIENTS, deadline_ms=DEADLINE_MS)
            under = gateways_mib(server.pid)
            time.sleep(SECONDS)
            after = gateways_mib(server.pid)
        print(f"gateways {before:.0f} -> {under:.0f} -> {after:.0f} MiB", flush=True)
        ratios.append(after / before)
    what = f"gateways' memory {SECONDS:g} s after {CLIENTS:,} clients, times that before"
    return [Finding("aftermath", what, statistics.median(ratios), 1.25, False, tuple(ratios))]
