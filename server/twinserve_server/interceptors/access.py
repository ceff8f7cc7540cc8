"""The outermost wrapper: every RPC is counted once, under the status its caller sees, and timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from twinserve_server.interceptors.handlers import Handler


class RpcObserver(Protocol):
    """Who is told about RPCs; ``rpc`` is (type, service, method)."""

    def rpc_started(self, rpc: tuple[str, str, str]) -> None:
        """An RPC began."""

    def rpc_handled(self, rpc: tuple[str, str, str], code: str, seconds: float) -> None:
        """An RPC ended with the gRPC status named ``code``."""


class AccessInterceptor:
    """Tells an observer how every RPC began and ended."""

    def __init__(self, observer: RpcObserver) -> None:
        self._observer = observer

    def wrap(self, handler: Handler) -> Handler:
        """``handler``, counted and timed."""
        behaviour, observer = handler.behaviour, self._observer
        rpc = (handler.kind, handler.service, handler.method)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            observer.rpc_started(rpc)
            code = "OK"
            try:
                return await behaviour(request, context)
            except BaseException as error:
                code = final_code(error, context)
                raise
            finally:
                observer.rpc_handled(rpc, code, time.perf_counter() - started)

        async def generate(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            started = time.perf_counter()
            observer.rpc_started(rpc)
            code = "OK"
            try:
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                code = final_code(error, context)
                raise
            finally:
                observer.rpc_handled(rpc, code, time.perf_counter() - started)

        return handler.around(generate if handler.generates else answer)


def final_code(error: BaseException, context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The status an RPC ends with when its handler leaves by ``error``.

    ``context.code()`` alone does not tell: it is None after a cancellation and after an unhandled exception.
    """
    if isinstance(error, grpc.aio.AbortError):
        code = context.code()
        return code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        remaining = context.time_remaining()
        return "DEADLINE_EXCEEDED" if remaining is not None and remaining <= 0 else "CANCELLED"
    return "INTERNAL"
