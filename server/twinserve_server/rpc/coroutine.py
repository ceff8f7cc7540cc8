"""Direct methods as coroutines, for transports without callbacks and for methods that call several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import DirectMethod, DirectStream
from twinserve_server.rpc.deadlines import why_gone
from twinserve_server.rpc.status import Metadata, name_of_request
from twinserve_server.rpc.stream_window import StreamWindow


class RpcContext(Protocol):
    """What a method needs of a gRPC context."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if there is none."""

    def peer(self) -> str:
        """The address of the connection."""

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Metadata to send with the status."""


class Reply:
    """An exchange that a coroutine can wait for."""

    __slots__ = ("error", "peer", "request_id", "response", "told")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.response = b""
        self.error: TwinserveError | None = None
        self.request_id = ""
        #: Done once the exchange is over.
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, response: bytes) -> None:
        self.response = response
        self._tell()

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        # Kept without its traceback: those frames refer to this exchange and hold the request.
        self.error = error.with_traceback(None)
        self.request_id = request_id
        self._tell()

    def _tell(self) -> None:
        if not self.told.done():
            self.told.set_result(None)


def ask(method: DirectMethod) -> Callable[[bytes, RpcContext], Awaitable[bytes]]:
    """``method`` as a coroutine function: encoded request in, encoded response out."""

    async def behaviour(raw: bytes, context: RpcContext) -> bytes:
        deadline_ns, started_ns = deadline_of(context), time.monotonic_ns()
        reply = Reply(context.peer())
        (call,) = method.begin_all(((raw, deadline_ns, reply),))
        try:
            await reply.told
        except asyncio.CancelledError:
            if call is not None:
                method.abandon(call, why_gone(started_ns, deadline_ns))
            raise
        if reply.error is not None:
            context.set_trailing_metadata(name_of_request(reply.request_id))
            raise reply.error
        return reply.response

    return behaviour


def ask_each(stream: DirectStream) -> Callable[[AsyncIterator[bytes], RpcContext], AsyncIterator[bytes]]:
    """``stream`` as an async generator function: answers in request order, with a window of requests in progress."""

    async def behaviour(requests: AsyncIterator[bytes], context: RpcContext) -> AsyncIterator[bytes]:
        changed, room = asyncio.Event(), asyncio.Event()
        window = StreamWindow(stream, deadline_of(context), context.peer(), changed.set)

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

    return behaviour


def deadline_of(context: RpcContext) -> int:
    """The caller's deadline against ``time.monotonic_ns()``; 0: none."""
    remaining = context.time_remaining()
    return 0 if remaining is None else time.monotonic_ns() + int(remaining * 1e9)
