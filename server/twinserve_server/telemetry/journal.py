"""Keeps a record of every RPC for the access log and traces.

It exists only while one of them is on; all RPCs then take the path with a coroutine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from twinserve_server.engine.call import Call
from twinserve_server.engine.feedback import Judgement
from twinserve_server.rpc.method import RpcMethod
from twinserve_server.rpc.status import name_of_request, status_of


@dataclass(slots=True)
class RpcRecord:
    """One RPC.

    Attributes:
        method: names and streaming; the requests on a stream are told one by one.
        context: gRPC's.
        peer: the caller's address.
        metadata: what the caller sent along.
        code: the name of its gRPC status; empty while it is in work.
        seconds: how long it took.
        calls: what it asked of the engine, unless its requests come on a stream.
        span: what tracing wants to find again.
    """

    method: RpcMethod
    context: grpc.aio.ServicerContext[Any, Any]
    peer: str
    metadata: dict[str, str | bytes]
    code: str = ""
    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)
    span: Any = None


#: Called when an RPC begins (no ``code`` yet) and ends, and in between for each request that has ended.
RpcHook = Callable[[RpcRecord, Call | None], None]

#: The RPC that the running task serves.
CURRENT_RPC: Final[ContextVar[RpcRecord | None]] = ContextVar("current_rpc", default=None)


class Journal:
    """Links the engine's calls to the RPC they belong to, and tells hooks how both end."""

    def __init__(self, hooks: Sequence[RpcHook]) -> None:
        self._hooks = hooks

    def begin(self, method: RpcMethod, context: grpc.aio.ServicerContext[Any, Any]) -> RpcRecord:
        record = RpcRecord(method, context, context.peer(), dict(context.invocation_metadata() or ()))
        CURRENT_RPC.set(record)
        self._tell(record, None)
        return record

    def end(self, record: RpcRecord, code: str, seconds: float) -> None:
        record.code, record.seconds = code, seconds
        if code == "OK" and len(record.calls) == 1:
            # If a log line or span has this id, the caller learns it without reading the answer.
            record.context.set_trailing_metadata(name_of_request(record.calls[0].request_id))
        self._tell(record, None)

    def on_calls(self, event: Sequence[Call] | Judgement) -> None:
        """The engine's hook."""
        if not isinstance(event, Judgement):
            for call in event:
                self._on_call(call)

    def _on_call(self, event: Call) -> None:
        if event.state == "routed":
            event.note = record = CURRENT_RPC.get()
            if record is not None and not record.method.request_streaming:
                record.calls.append(event)
            return
        record, event.note = event.note, None
        # No RPC waits for a shadow run.
        if record is not None:
            self._tell(record, event)

    def _tell(self, record: RpcRecord, call: Call | None) -> None:
        for hook in self._hooks:
            hook(record, call)


def code_of(call: Call) -> str:
    """The name of the gRPC status that a call ended with."""
    return "OK" if call.error is None else status_of(call.error).name
