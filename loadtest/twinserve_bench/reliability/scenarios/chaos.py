"""A seeded schedule of every fault on every transport: callers through the SDK lose nothing, and the counts agree."""

from __future__ import annotations

from twinserve_bench.reliability.chaos.findings import TRANSPORTS, trial, wrongs
from twinserve_bench.reliability.chaos.schedule import Fault
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench


def run(bench: Bench) -> list[Finding]:
    """Twice every fault, on each transport."""
    return [
        finding
        for transport in TRANSPORTS
        for finding in wrongs("chaos", transport, trial(bench, transport, list(Fault), 2 * len(Fault)))
    ]
