"""SIGTERM to the supervisor and to the process group, 20 times each on every transport: what was accepted is answered.

The callers try nothing again, so that a call which the server took and dropped shows.
"""

from __future__ import annotations

from typing import Final

from twinserve_bench.reliability.chaos.findings import TRANSPORTS, none, trial, wrongs
from twinserve_bench.reliability.chaos.schedule import Fault
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

FAULTS: Final = [Fault.TERMINATE, Fault.TERMINATE_GROUP]
TIMES: Final = 20


def run(bench: Bench) -> list[Finding]:
    """Each signal in turn."""
    findings = []
    for transport in TRANSPORTS:
        outcome = trial(bench, transport, FAULTS, TIMES * len(FAULTS), retries=0)
        what = f"SIGTERM {TIMES} times to the supervisor and to the group, {transport}"
        findings += wrongs("drain", what, outcome)
        findings.append(none("drain", f"{what}: calls whose connection ended", outcome.ledger.cut_off))
    return findings
