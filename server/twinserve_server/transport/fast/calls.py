"""Unary RPCs of direct methods on a completion queue, and what they share with streams."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

import grpc
from grpc._cython.cygrpc import (
    ReceiveCloseOnServerOperation,
    ReceiveMessageOperation,
    SendInitialMetadataOperation,
    SendMessageOperation,
    SendStatusFromServerOperation,
)

from twinserve_server.engine.call import Call
from twinserve_server.errors import IdleCallError, TwinserveError
from twinserve_server.rpc.auth import Admit
from twinserve_server.rpc.callback import DirectMethod, DirectStream
from twinserve_server.rpc.deadlines import gone_code, why_gone
from twinserve_server.rpc.serve import RpcTally
from twinserve_server.rpc.status import NO_REQUEST, Metadata, outcome_of
from twinserve_server.transport.fast.queue import QueueLoop
from twinserve_server.transport.idle import Endable, IdleCalls

Method = TypeVar("Method", DirectMethod, DirectStream)

#: A call that has waited this long is watched in case its caller leaves. Watching costs another
#: operation, and most calls are answered earlier.
WATCH_AFTER_NS: Final = 50_000_000
#: gRPC core's "no deadline" as seconds since the epoch; any real one is smaller.
NO_DEADLINE: Final = 1e15

OK: Final = 0


@dataclass(slots=True)
class DirectRpc(Generic[Method]):
    """A direct method and what its calls share."""

    method: Method
    tally: RpcTally
    loop: QueueLoop
    #: Those whose clients have the next move.
    idle: IdleCalls
    #: Checks the metadata of a call before its message is read; None: no check.
    admit: Admit | None = None
    #: The calls whose messages have come and that are not over, in the order of their messages.
    open: dict[Any, None] = field(default_factory=dict)
    #: Calls that arrived in this turn of the loop: they are started together.
    arrived: list[Any] = field(default_factory=list)


def deadline_ns(event: Any, now_ns: int) -> int:
    """A new call's deadline against ``time.monotonic_ns()``; 0: none."""
    deadline: float = event.call_details.deadline
    return 0 if deadline > NO_DEADLINE else now_ns + int((deadline - time.time()) * 1e9)


def status(code: grpc.StatusCode, message: str, metadata: Metadata) -> SendStatusFromServerOperation:
    """The operation that ends a call with an error."""
    return SendStatusFromServerOperation(metadata, code.value[0], message.encode(), 0)


def peer_of(call: Any) -> str:
    """The address of a call's connection."""
    address: bytes = call.peer()
    return address.decode()


def cancel(call: Any, error: IdleCallError) -> None:
    """End a call whose answer the client does not take: it stands in the way of another status."""
    call.cancel(grpc.StatusCode.DEADLINE_EXCEEDED.value[0], error.message)


class UnaryCall(Endable):
    """One unary RPC: receive, begin, answer. It is the exchange of its request."""

    __slots__ = ("_call", "_code", "_deadline_ns", "_request", "_rpc", "_started_ns", "_watched")

    def __init__(self, rpc: DirectRpc[DirectMethod], event: Any) -> None:
        self._rpc = rpc
        self._call = event.call
        self._started_ns = now_ns = time.monotonic_ns()
        self._deadline_ns = deadline_ns(event, now_ns)
        self._request: Call | None = None
        self._code = ""
        self._watched = False
        if rpc.admit is not None and (error := rpc.admit(event.invocation_metadata)) is not None:
            self._refuse_unread(error)
            return
        rpc.idle.begin(self)
        rpc.loop.at_pause(self._read)

    @property
    def peer(self) -> str:
        """The address of the connection: peers take turns."""
        return peer_of(self._call)

    def watch(self, now_ns: int) -> bool:
        """Learn of the caller's leaving from now on; False: this call, and all later ones, are too young for it."""
        if now_ns - self._started_ns < WATCH_AFTER_NS:
            return False
        if not self._watched and self._request is not None:
            self._watched = True
            self._call.start_server_batch((ReceiveCloseOnServerOperation(0),), self._on_close)
        return True

    def answer(self, response: bytes) -> None:
        self._end(
            "OK",
            SendInitialMetadataOperation((), 0),
            SendMessageOperation(response, 0),
            SendStatusFromServerOperation((), OK, b"", 0),
        )

    def refuse(self, error: BaseException, request_id: str = "") -> None:
        code, message, metadata = outcome_of(error, request_id)
        self._end(code.name, SendInitialMetadataOperation((), 0), status(code, message, metadata))

    def caller(self) -> str:
        return self.peer

    def expire(self, error: IdleCallError) -> None:
        if self._code:
            cancel(self._call, error)
            self._rpc.loop.soon()
        else:
            self._refuse_unread(error)

    def _refuse_unread(self, error: TwinserveError) -> None:
        """Without its message."""
        self._rpc.open[self] = None
        self._rpc.tally.started()
        self.refuse(error)

    def _read(self) -> None:
        self._call.start_server_batch((ReceiveMessageOperation(0),), self._on_message)

    def _on_message(self, event: Any) -> None:
        if self._code:
            return
        self._rpc.idle.end(self)
        raw = event.batch_operations[0].message()
        if raw is None:
            # The caller has left, or its message was too large and gRPC core has ended the call: there was no request,
            # and grpc.aio's handlers would not see it either.
            operations = (
                SendInitialMetadataOperation((), 0),
                status(*NO_REQUEST, ()),
                ReceiveCloseOnServerOperation(0),
            )
            self._call.start_server_batch(operations, ignore)
            self._rpc.loop.soon()
            return
        rpc = self._rpc
        rpc.open[self] = None
        if not rpc.arrived:
            rpc.loop.later(partial(_begin, rpc))
        rpc.arrived.append((raw, self._deadline_ns, self))

    def begun(self, request: Call | None) -> None:
        """The request was taken; ``None``: and it is over."""
        self._request = request

    def _end(self, code: str, *operations: Any) -> None:
        self._code = code
        self._request = None
        if not self._watched:
            operations = (*operations, ReceiveCloseOnServerOperation(0))
        self._rpc.idle.begin(self)
        self._call.start_server_batch(operations, self._on_end)
        self._rpc.loop.soon()

    def _on_end(self, event: Any) -> None:
        if not self._watched and event.batch_operations[-1].cancelled():
            self._over(why_gone(self._started_ns, self._deadline_ns))
        else:
            self._over(None)

    def _on_close(self, event: Any) -> None:
        request = self._request
        if request is not None and event.batch_operations[0].cancelled():
            why = why_gone(self._started_ns, self._deadline_ns)
            self._request = None
            self._rpc.method.abandon(request, why)
            self._over(why)

    def _over(self, gone: TwinserveError | None) -> None:
        rpc = self._rpc
        rpc.idle.end(self)
        if self in rpc.open:
            del rpc.open[self]
            code = self._code if gone is None else gone_code(gone)
            rpc.tally.handled(code, (time.monotonic_ns() - self._started_ns) / 1e9)


def _begin(rpc: DirectRpc[DirectMethod]) -> None:
    """Begin the calls that have arrived."""
    arrived, rpc.arrived = rpc.arrived, []
    rpc.tally.started(len(arrived))
    for (_, _, call), request in zip(arrived, rpc.method.begin_all(arrived), strict=True):
        call.begun(request)


def ignore(_: Any) -> None:
    """For operations after which nothing follows."""
