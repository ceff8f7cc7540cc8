"""What callers sent and what became of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import grpc

#: The statuses of a server that cannot take a call.
REFUSALS: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


#: Why a call was refused: nothing was listening; the server said that it is shutting down; gRPC ended the call in the
#: server's place, because it arrived when the server had stopped; it came after the last call that the server's GOAWAY
#: covers (gRPC core then ends it with the GOAWAY as the cause); or the connection ended under a call that the server
#: may have received.
NOBODY, DRAINING, STOPPED = "nobody listened", "the server was draining", "the server had stopped"
UNSEEN: Final = "the server went away before it saw the call"
_BY_GOAWAY: Final = ("GOAWAY received", "Stream removed (GOAWAY received")
CUT_OFF: Final = "the connection ended"


def reason_of(said: str) -> str:
    """Why a call was refused, by gRPC's or the server's words."""
    if "failed to connect" in said:
        return NOBODY
    if "ended the call" in said:
        return STOPPED
    if said.startswith(_BY_GOAWAY):
        return UNSEEN
    return DRAINING if "shutting down" in said else f"{CUT_OFF} ({said})"


@dataclass(slots=True)
class Ledger:
    """Counts of calls; every call that was sent ends in exactly one of the others.

    Attributes:
        sent: calls begun.
        answered: the right answers.
        wrong: answers of another class or with other probabilities than before the first fault.
        refused: UNAVAILABLE or RESOURCE_EXHAUSTED, after retries if there are any, while the server was down; by
            reason.
        lost: calls that failed in any other way, or while the server was up, by what was said.
    """

    sent: int = 0
    answered: int = 0
    wrong: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def answers(self) -> int:
        """Right or wrong."""
        return self.answered + self.wrong

    @property
    def cut_off(self) -> int:
        """Refused calls that the server may have had."""
        return sum(count for reason, count in self.refused.items() if reason.startswith(CUT_OFF))

    @property
    def open(self) -> int:
        """Calls without an end."""
        return self.sent - self.answers - self.refused.total() - self.lost.total()

    def rows(self) -> list[str]:
        """For people."""
        refused = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.refused.items()))
        lines = [
            f"sent      {self.sent:,}",
            f"answered  {self.answered:,}",
            f"refused   {self.refused.total():,}" + (f", all while the server was down ({refused})" if refused else ""),
            f"lost      {self.lost.total() + self.open:,}",
            f"wrong     {self.wrong:,}",
        ]
        return lines + [f"          {count} x {said}" for said, count in self.lost.most_common(10)]


class Book:
    """A ledger that several threads write, and whether the server is known to be down."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._lock = threading.Lock()
        self._outages = 0
        self._down = False

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The server is taken down, and started again."""
        with self._lock:
            self._outages += 1
            self._down = True
        yield
        with self._lock:
            self._down = False

    def begin(self) -> int:
        """A call is sent; to be handed to :meth:`failed`."""
        with self._lock:
            self.ledger.sent += 1
            return self._outages - self._down

    def answered(self, *, right: bool) -> None:
        """A call was answered."""
        with self._lock:
            self.ledger.answered += right
            self.ledger.wrong += not right

    def failed(self, begun: int, code: grpc.StatusCode, said: str) -> None:
        """A call failed; within an outage it may be refused."""
        with self._lock:
            if code in REFUSALS and self._outages > begun:
                self.ledger.refused[reason_of(said)] += 1
            else:
                self.ledger.lost[f"{code.name}: {said}"] += 1
