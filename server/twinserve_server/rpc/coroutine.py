"""Direct methods (``callback``) for transports with coroutines, and for other methods that ask them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import DirectMethod, DirectStreamMethod
from twinserve_server.rpc.deadlines import why_gone
from twinserve_server.rpc.errors import REQUEST_ID_KEY
from twinserve_server.rpc.stream_window import StreamWindow


class RpcContext(Protocol):
    """What is needed of a gRPC context."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: there is none."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        """What to send along with the status."""


class Unary:
    """A unary direct method as a coroutine."""

    def __init__(self, method: DirectMethod) -> None:
        self._method = method

    async def __call__(self, raw: bytes, context: RpcContext) -> bytes:
        """Answer one encoded request; the bytes of the response."""
        exchange = _FutureExchange()
        try:
            return await self._wait(raw, deadline_of(context), exchange)
        except TwinserveError:
            if exchange.request_id:
                context.set_trailing_metadata(((REQUEST_ID_KEY, exchange.request_id),))
            raise

    async def bytes_of(self, raw: bytes, deadline_ns: int) -> bytes:
        """The same, for a part of another RPC."""
        return await self._wait(raw, deadline_ns, _FutureExchange())

    async def _wait(self, raw: bytes, deadline_ns: int, exchange: _FutureExchange) -> bytes:
        started_ns = time.monotonic_ns()
        call = self._method.begin(raw, deadline_ns, exchange)
        try:
            return await exchange.future
        except asyncio.CancelledError:
            if call is not None:
                self._method.abandon(call, why_gone(started_ns, deadline_ns))
            raise


class _FutureExchange:
    """An exchange that a coroutine waits for."""

    __slots__ = ("future", "request_id")

    def __init__(self) -> None:
        self.request_id = ""
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answer(self, response: bytes) -> None:
        """See :meth:`Exchange.answer`."""
        if not self.future.done():
            self.future.set_result(response)

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        """See :meth:`Exchange.refuse`."""
        self.request_id = request_id
        if not self.future.done():
            self.future.set_exception(error)


def bidirectional(
    method: DirectStreamMethod,
) -> Callable[[AsyncIterator[bytes], RpcContext], AsyncIterator[bytes]]:
    """A direct stream method as an async generator function: answers in the order of the requests."""

    async def generate(requests: AsyncIterator[bytes], context: RpcContext) -> AsyncIterator[bytes]:
        changed, room = asyncio.Event(), asyncio.Event()
        window = StreamWindow(method, deadline_of(context), changed.set)

        async def read() -> None:
            async for raw in requests:
                window.add(raw)
                while window.full:
                    room.clear()
                    await room.wait()

        reader = asyncio.ensure_future(read())
        reader.add_done_callback(lambda _: changed.set())
        try:
            while True:
                while (response := window.pop()) is not None:
                    yield response
                room.set()
                if reader.done() and not len(window):
                    reader.result()
                    return
                changed.clear()
                await changed.wait()
        finally:
            reader.cancel()
            window.close(why_gone)

    return generate


def deadline_of(context: RpcContext) -> int:
    """The caller's deadline against ``time.monotonic_ns()``; 0: none."""
    remaining = context.time_remaining()
    return 0 if remaining is None else time.monotonic_ns() + int(remaining * 1e9)
