"""SIGKILL and SIGSTOP of a gateway and of a model process, 20 times each: callers through the SDK notice nothing."""

from __future__ import annotations

from typing import Final

from twinserve_bench.reliability.chaos.findings import none, trial, wrongs
from twinserve_bench.reliability.chaos.schedule import Fault
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

FAULTS: Final = [Fault.KILL_GATEWAY, Fault.KILL_MODEL, Fault.STOP_GATEWAY, Fault.STOP_MODEL]
TIMES: Final = 20


def run(bench: Bench) -> list[Finding]:
    """In the order of a seed, on the default transport."""
    what = f"SIGKILL and SIGSTOP, {TIMES} times each"
    outcome = trial(bench, "fast", FAULTS, TIMES * len(FAULTS))
    refused = none("kills", f"{what}: refused after the SDK's retries", outcome.ledger.refused.total())
    return [*wrongs("kills", what, outcome), refused]
