"""Calls whose clients have the next move and do not make it: they are ended, as each holds memory and a place.

It is the client's move while a message is due from it and nothing of its call is in work, and while it does not take
what is sent. A call in work has its deadline, and the queues have their bounds.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Final

from twinserve_server.errors import IdleCallError
from twinserve_server.structured_log import structlog

log = structlog.get_logger()

#: How often idle calls are looked for.
SWEEP_SECONDS: Final = 0.5
#: Callers named in one line of the log.
_PEERS: Final = 4


class Endable(ABC):
    """A call that can be ended."""

    __slots__ = ()

    @abstractmethod
    def caller(self) -> str:
        """The client's address."""

    @abstractmethod
    def expire(self, error: IdleCallError) -> None:
        """End it, and count it."""


class IdleCalls:
    """The calls of a transport whose clients have the next move; those that waited longest first."""

    def __init__(self, limit_seconds: float) -> None:
        """``limit_seconds``: 0 for no limit."""
        self._limit_seconds = limit_seconds
        self._limit_ns = int(limit_seconds * 1e9)
        self._since_ns: dict[Endable, int] = {}
        self._due_ns = 0

    def begin(self, call: Endable) -> None:
        """It is the client's move from now on."""
        self._since_ns.pop(call, None)
        self._since_ns[call] = time.monotonic_ns()

    def end(self, call: Endable) -> None:
        """The client has moved, or the call is over."""
        self._since_ns.pop(call, None)

    def sweep(self) -> None:
        """End those that have waited too long; called often, it looks now and then."""
        now_ns = time.monotonic_ns()
        if not self._limit_ns or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + int(SWEEP_SECONDS * 1e9)
        idle = []
        for call, since_ns in self._since_ns.items():
            if now_ns - since_ns < self._limit_ns:
                break
            idle.append(call)
        if not idle:
            return
        error = IdleCallError(
            f"the client neither sent a message nor took an answer for {self._limit_seconds:g} s, the limit of this "
            "server (--max-idle-call-seconds); call again when there is something to ask"
        )
        peers = set()
        for call in idle:
            del self._since_ns[call]
            # gRPC forgets it with the call.
            peers.add(call.caller())
            call.expire(error)
        log.warning(
            "idle_calls_ended", calls=len(idle), after_seconds=self._limit_seconds, peers=sorted(peers)[:_PEERS]
        )


class Turns(Endable):
    """Whose move it is in one call; a base class, since a part that knows its call would make a cycle of both."""

    __slots__ = ("_idle", "_over", "_owed", "_reading", "_sending")

    def __init__(self, idle: IdleCalls) -> None:
        self._idle = idle
        self._reading = self._sending = self._over = False
        #: Messages that have come and are not answered.
        self._owed = 0

    def reads(self) -> None:
        """A message is waited for."""
        self._reading = True
        self._turn()

    def has_read(self, messages: int) -> None:
        """One has come, or (0) none will."""
        self._reading = False
        self._owed += messages
        self._turn()

    def sends(self) -> None:
        """A message is on its way to the client."""
        self._sending = True
        self._turn()

    def has_sent(self) -> None:
        """The client has taken it."""
        self._sending = False
        self._owed -= 1
        self._turn()

    def is_over(self) -> None:
        """Nothing comes any more; operations may still complete."""
        self._over = True
        self._turn()

    def _turn(self) -> None:
        if not self._over and (self._sending or (self._reading and self._owed <= 0)):
            self._idle.begin(self)
        else:
            self._idle.end(self)
