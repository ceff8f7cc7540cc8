"""The outermost wrapper: every RPC is counted once, under the status its caller sees, and timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from twinserve_server.rpc.deadlines import is_past_deadline
from twinserve_server.rpc.handler import Handler


class RpcTally(Protocol):
    """Who is told about the RPCs of one method."""

    def started(self) -> None:
        """An RPC began."""

    def handled(self, code: str, seconds: float) -> None:
        """An RPC ended with the gRPC status named ``code``."""


class RpcObserver(Protocol):
    """Who is told about RPCs."""

    def rpc_tally(self, kind: str, service: str, method: str) -> RpcTally:
        """Asked once for each method, before its first RPC."""


class AccessInterceptor:
    """Tells an observer how every RPC began and ended."""

    def __init__(self, observer: RpcObserver) -> None:
        self._observer = observer

    def wrap(self, handler: Handler) -> Handler:
        """``handler``, counted and timed."""
        behaviour = handler.behaviour
        tally = self._observer.rpc_tally(handler.kind, handler.service, handler.method)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            tally.started()
            code = "OK"
            try:
                return await behaviour(request, context)
            except BaseException as error:
                code = final_code(error, context, time.perf_counter() - started)
                raise
            finally:
                tally.handled(code, time.perf_counter() - started)

        async def generate(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            started = time.perf_counter()
            tally.started()
            code = "OK"
            try:
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                code = final_code(error, context, time.perf_counter() - started)
                raise
            finally:
                tally.handled(code, time.perf_counter() - started)

        return handler.around(generate if handler.generates else answer)


def final_code(error: BaseException, context: grpc.aio.ServicerContext[Any, Any], elapsed: float) -> str:
    """The status an RPC ends with when its handler leaves by ``error`` after ``elapsed`` seconds.

    ``context.code()`` alone does not tell: it is None after a cancellation and after an unhandled exception.
    """
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        remaining = context.time_remaining()
        return "CANCELLED" if remaining is None or not is_past_deadline(remaining, elapsed) else "DEADLINE_EXCEEDED"
    # abort() has set it, also where it could not send it because the call was over by then.
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "INTERNAL"
