"""Methods that need no coroutine: the form in which a transport may serve the busiest RPCs.

A coroutine, its task and its future cost several times what routing and queueing a request cost; a callback costs
next to nothing. Everything happens in the thread that drives the engine.
"""

from __future__ import annotations

from typing import Protocol

from twinserve_server.engine.engine import Call
from twinserve_server.errors import TwinserveError


class Slot(Protocol):
    """A message of a stream that waits for its answer."""

    def answer(self, response: bytes) -> None:
        """``response`` is the encoded message to send; called once."""


class Exchange(Protocol):
    """An RPC that waits for its answer; exactly one of the two is called, once."""

    def answer(self, response: bytes) -> None:
        """``response`` is the encoded message to send."""

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        """The request failed; ``request_id`` names it where the error cannot."""


class DirectMethod(Protocol):
    """A unary method."""

    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange, /) -> Call | None:
        """Take the encoded request; ``exchange`` is told the answer, perhaps before this returns.

        Args:
            raw: the message as it came.
            deadline_ns: against ``time.monotonic_ns()``; 0: none.
            exchange: what to answer to.

        Returns:
            What :meth:`abandon` takes; None when the exchange is over already.

        Raises:
            TwinserveError: the request is refused; ``exchange`` hears nothing.
        """

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """The caller is gone, ``error`` says why: what has not started of the request need not run."""


class DirectStreamMethod(Protocol):
    """What a bidirectional stream does with each of its messages; to refuse one is an answer, too."""

    @property
    def window_images(self) -> int:
        """With so many images of one stream in work, no further message of it is read."""

    def begin(self, raw: bytes, deadline_ns: int, slot: Slot, /) -> Call | None:
        """As :meth:`DirectMethod.begin`, but never raises what is the caller's fault."""

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """See :meth:`DirectMethod.abandon`."""
