"""A run of chaos for a scenario: what must be 0, as findings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from twinserve_bench.reliability.chaos.run import Outcome, run
from twinserve_bench.reliability.chaos.schedule import Fault, schedule
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench

TRANSPORTS: Final = ("aio", "fast", "native")
SEED, CALLERS = 14, 8


def trial(bench: Bench, transport: str, faults: list[Fault], count: int, retries: int | None = None) -> Outcome:
    """``count`` of ``faults``, and the ledger printed. One replica where the whole server goes down anyway."""
    replicas = 1 if all(fault.takes_the_server_down for fault in faults) else 2
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            bench.models,
            Path(folder),
            schedule(SEED, count, faults),
            transport=transport,
            callers=CALLERS,
            seed=SEED,
            replicas=replicas,
            retries=retries,
        )
    print(f"--- {transport}\n" + "\n".join(outcome.rows()), flush=True)
    return outcome


def none(scenario: str, what: str, found: int) -> Finding:
    """Something of which there must be none."""
    return Finding(scenario, what, found, 0, False, (found,))


def wrongs(scenario: str, what: str, outcome: Outcome) -> list[Finding]:
    """What must be 0 whatever happens to a server."""
    ledger = outcome.ledger
    return [
        none(scenario, f"{what}: lost", ledger.lost.total() + ledger.open),
        none(scenario, f"{what}: wrong answers", ledger.wrong),
        none(scenario, f"{what}: accounts that differ", sum(not account.agrees for account in outcome.accounts)),
    ]
