"""A schedule of faults against a server under load: the ledger, compared with ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twinserve_bench.reliability.chaos.callers import Callers, Questions
from twinserve_bench.reliability.chaos.faults import strike
from twinserve_bench.reliability.chaos.ledger import Book, Ledger
from twinserve_bench.reliability.chaos.schedule import Fault, Step
from twinserve_bench.reliability.chaos.victim import Victim

#: A killed gateway may have counted answers that it did not send, or sent some that it did not count (the fast
#: transport counts what gRPC core reports as sent): at most one per caller.
UNSENT_FAULTS: Final = (Fault.KILL_GATEWAY, Fault.STOP_GATEWAY)
#: While one gateway is replaced, the other answers.
SERVED: Final = ("--variants", "fp32,int8", "--gateways", "2")
#: Answers to wait for at the end, so that the last fault has an effect, too.
LAST_ANSWERS: Final = 50


@dataclass(frozen=True, slots=True)
class Account:
    """Calls answered between two starts of the server: what the callers say, and what ``/metrics`` says.

    Attributes:
        callers: answers that they have received.
        metrics: answers that the server has counted.
        unsent: answers at most that may have been counted and not sent, or sent and not counted, because a gateway was
            killed.
    """

    callers: int
    metrics: int
    unsent: int

    @property
    def agrees(self) -> bool:
        """Whether nothing was left out or counted twice."""
        return abs(self.metrics - self.callers) <= self.unsent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of chaos found."""

    ledger: Ledger
    accounts: Sequence[Account]

    @property
    def good(self) -> bool:
        """Whether nothing was lost or wrong, and the counts agree."""
        ledger = self.ledger
        return not (ledger.lost or ledger.open or ledger.wrong) and all(account.agrees for account in self.accounts)

    def rows(self) -> list[str]:
        """For people."""
        return self.ledger.rows() + [
            f"/metrics  {account.metrics:,} answered; the callers {account.callers:,}"
            + (
                f" (up to {account.unsent} counted or sent, not both, by a gateway that was killed)"
                * bool(account.unsent)
            )
            + ("" if account.agrees else "  DISAGREES")
            for account in self.accounts
        ]


def run(
    models: Path,
    folder: Path,
    steps: Sequence[Step],
    *,
    transport: str,
    callers: int,
    seed: int,
    replicas: int = 2,
    retries: int | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Start a server, let ``callers`` ask it, do ``steps`` to it.

    Args:
        models: the model folder; the variants fp32 and int8 are served.
        folder: for the server's files.
        steps: of ``schedule``.
        transport: aio, fast or native.
        callers: threads that ask.
        seed: of what they ask.
        replicas: model processes of each variant; with two, one answers while the other is replaced.
        retries: of the callers; None: as many as the SDK makes by itself.
        say: is told how it goes.

    Raises:
        RuntimeError: the server did not recover from a fault; the message says from which, with the server's log.
    """
    book, accounts = Book(), list[Account]()
    with Victim(models, folder, transport, *SERVED, "--replicas", f"fp32={replicas},int8={replicas}") as victim:
        with victim.operator() as client:
            questions = Questions.of(models, client)
        unsent = 0
        with Callers(victim, questions, book, callers, seed, retries) as asking:
            # These checks were calls of Predict, too.
            asking.answered_before = -len(questions.expected)

            def settle() -> None:
                asking.hold()
                counted = round(victim.answered_by_metrics())
                accounts.append(Account(book.ledger.answers - asking.answered_before, counted, unsent))
                asking.go_on()

            for number, step in enumerate(steps, 1):
                asking.until_answered(step.after)
                if step.fault.takes_the_server_down:
                    settle()
                    asking.until_answered(callers)
                began = time.monotonic()
                try:
                    did = strike(step, victim, asking)
                except RuntimeError as error:
                    raise RuntimeError(f"step {number}, {step.fault.value}: {error}") from error
                say(f"{number:3}. {step.fault.value}: {did} ({time.monotonic() - began:.1f} s)")
                if step.fault in UNSENT_FAULTS:
                    unsent += callers
                if step.fault.takes_the_server_down:
                    unsent = 0
            asking.until_answered(LAST_ANSWERS)
            settle()
    return Outcome(book.ledger, accounts)
