"""Keeps a record of every RPC for those who tell about single ones: the access log, traces.

It is there only while one of them is on, and then all RPCs take the way with a coroutine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import grpc

from twinserve_server.engine.engine import Call
from twinserve_server.rpc.counted import final_code
from twinserve_server.rpc.errors import REQUEST_ID_KEY
from twinserve_server.rpc.handler import Handler


@dataclass(slots=True)
class RpcRecord:
    """One RPC in work.

    Attributes:
        service: the full name, as on the wire.
        method: as on the wire.
        streaming: whether its requests come on a stream; they are told one by one.
        peer: the caller's address.
        metadata: what the caller sent along.
        calls: what it asked of the engine, unless it is streaming.
        span: what tracing wants to find again.
    """

    service: str
    method: str
    streaming: bool
    peer: str
    metadata: dict[str, str | bytes]
    calls: list[Call] = field(default_factory=list)
    span: Any = None


class RpcListener(Protocol):
    """Who tells about single RPCs."""

    def rpc_began(self, record: RpcRecord) -> None:
        """An RPC arrived."""

    def rpc_ended(self, record: RpcRecord, code: str, seconds: float) -> None:
        """It ended with the gRPC status named ``code``."""

    def call_ended(self, record: RpcRecord, call: Call, code: str) -> None:
        """One of its requests ended."""


#: The RPC that the running task serves.
CURRENT_RPC: Final[ContextVar[RpcRecord | None]] = ContextVar("current_rpc", default=None)


class JournalInterceptor:
    """Tells listeners how every RPC began and ended."""

    def __init__(self, listeners: Sequence[RpcListener]) -> None:
        self._listeners = listeners

    def wrap(self, handler: Handler) -> Handler:
        """``handler``, recorded."""
        behaviour = handler.behaviour

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            record, started = self._begin(handler, context), time.perf_counter()
            code = "OK"
            try:
                response = await behaviour(request, context)
            except BaseException as error:
                code = final_code(error, context, time.perf_counter() - started)
                raise
            else:
                if len(record.calls) == 1:
                    # Where there is a line or a span with this name, the caller learns it without reading the answer.
                    context.set_trailing_metadata(((REQUEST_ID_KEY, record.calls[0].request_id),))
                return response
            finally:
                self._end(record, code, time.perf_counter() - started)

        async def generate(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            record, started = self._begin(handler, context), time.perf_counter()
            code = "OK"
            try:
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                code = final_code(error, context, time.perf_counter() - started)
                raise
            finally:
                self._end(record, code, time.perf_counter() - started)

        return replace(handler.around(generate if handler.generates else answer), direct=None, direct_stream=None)

    def _begin(self, handler: Handler, context: grpc.aio.ServicerContext[Any, Any]) -> RpcRecord:
        metadata = dict(context.invocation_metadata() or ())
        record = RpcRecord(handler.service, handler.method, handler.request_streaming, context.peer(), metadata)
        CURRENT_RPC.set(record)
        for listener in self._listeners:
            listener.rpc_began(record)
        return record

    def _end(self, record: RpcRecord, code: str, seconds: float) -> None:
        for listener in self._listeners:
            listener.rpc_ended(record, code, seconds)
