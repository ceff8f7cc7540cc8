"""Methods without coroutines, for the busiest RPCs.

A coroutine with its task and future costs several times as much as routing and queueing a request; a callback costs
next to nothing. Everything happens in the thread that drives the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from twinserve_server.engine.amount import Amount
from twinserve_server.engine.call import Call
from twinserve_server.errors import TwinserveError
from twinserve_server.structured_log import structlog

log = structlog.get_logger()


class Exchange(Protocol):
    """A request that is waiting for its answer; exactly one of ``answer`` and ``refuse`` is called, once."""

    @property
    def peer(self) -> str:
        """Identifies the caller, such as by the address of the connection: peers take turns."""

    def answer(self, response: bytes) -> None:
        """``response`` is the encoded message to send."""

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        """The request failed; ``request_id`` is its id, if it has one."""


#: A request: the message as received, its deadline in terms of ``time.monotonic_ns()`` (0: none), and the callback.
Arrival = tuple[bytes, int, Exchange]


@runtime_checkable
class DirectMethod(Protocol):
    """A unary method."""

    def begin_all(self, arrivals: Sequence[Arrival], /) -> list[Call | None]:
        """Take requests that arrived together, or one; it does not raise.

        Returns:
            For each of them the argument for :meth:`abandon`; None: its exchange is already over.
        """

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """The caller has gone, for the reason in ``error``: what has not started of the request need not run."""


@dataclass(frozen=True, slots=True)
class DirectStream:
    """A bidirectional stream, each of whose messages is a request to a unary method.

    Attributes:
        method: answers each message.
        window: with so much of one stream in work, no further message of it is read.
        wrap_answer: a response of ``method`` as a message of the stream.
        wrap_refusal: the error of one request, and its name, as a message of the stream.
    """

    method: DirectMethod
    window: Amount
    wrap_answer: Callable[[bytes], bytes]
    wrap_refusal: Callable[[TwinserveError, str], bytes]


def begin_alone(begin: Callable[[bytes, int, Exchange], Call | None], arrival: Arrival) -> Call | None:
    """Take one request by ``begin``, which may raise; see :meth:`DirectMethod.begin_all`."""
    raw, deadline_ns, exchange = arrival
    try:
        return begin(raw, deadline_ns, exchange)
    except TwinserveError as error:
        exchange.refuse(error)
    except Exception:
        log.exception("handler_failed")
        exchange.refuse(TwinserveError("internal error; the server's log has the cause"))
    return None
