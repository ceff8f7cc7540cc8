"""RPCs on grpc.aio: they are read here, and bounded in how long their clients may keep them waiting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from twinserve_server.errors import IdleCallError
from twinserve_server.rpc.serve import RpcHandler
from twinserve_server.rpc.status import NO_REQUEST, outcome_of
from twinserve_server.transport.idle import IdleCalls, Turns
from twinserve_server.transport.metadata import refusal_of


async def answer(handler: RpcHandler, idle: IdleCalls, metadata_bytes: int, _: Any, context: Any) -> Any:
    """A method that gives one answer; its error is a status and nothing else.

    Left to itself, grpc.aio sends an empty message before the status of an error, and no client retries a call whose
    answer has begun.
    """
    if (refusal := refusal_of(context.invocation_metadata() or (), metadata_bytes)) is not None:
        await _abort(context, *refusal, ())
        return None
    call = AioCall(handler, idle, context)
    response = await call.run()
    if response is None and not call.expired and not context.done():
        await _abort(context, context.code(), context.details(), context.trailing_metadata() or ())
    return response


async def answer_each(handler: RpcHandler, idle: IdleCalls, metadata_bytes: int, _: Any, context: Any) -> None:
    """A method that gives many answers."""
    if (refusal := refusal_of(context.invocation_metadata() or (), metadata_bytes)) is not None:
        await _abort(context, *refusal, ())
        return
    await AioCall(handler, idle, context).run()


class AioCall(Turns):
    """One RPC: grpc.aio's context, and whose move it is.

    What the client does not take is not bounded: grpc.aio cannot end a call while it sends.
    """

    def __init__(self, handler: RpcHandler, idle: IdleCalls, context: Any) -> None:
        super().__init__(idle)
        self._handler = handler
        self._context = context
        self._started = time.monotonic()
        #: Why it was ended while its client was idle.
        self.expired = ""
        self._ending: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def run(self) -> Any:
        """The handler's answer, if it gives one."""
        try:
            if self._handler.method.request_streaming:
                return await self._handler.handle(self._messages(), self)
            if (request := await self.read()) is not None:
                return await self._handler.handle(request, self)
            if not self.expired:
                self._context.set_code(NO_REQUEST[0])
                self._context.set_details(NO_REQUEST[1])
            return None
        finally:
            self.is_over()

    async def read(self) -> bytes | None:
        """The next message; None: there is none."""
        self.reads()
        message = await self._context.read()
        found: bytes | None = None if message is grpc.aio.EOF else message
        self.has_read(found is not None)
        return None if self.expired else found

    async def write(self, message: Any) -> None:
        """Send one response message."""
        await self._context.write(message)
        self.has_sent()

    def caller(self) -> str:
        peer: str = self._context.peer()
        return peer

    def expire(self, error: IdleCallError) -> None:
        self.expired = error.message
        self._handler.count_unread(error, time.monotonic() - self._started)
        # What waits for the message gets none once the call has ended.
        self._ending = asyncio.ensure_future(_end(self._context, error))

    async def _messages(self) -> AsyncIterator[bytes]:
        while (message := await self.read()) is not None:
            yield message
        if self.expired:
            raise IdleCallError(self.expired)


async def _end(context: Any, error: IdleCallError) -> None:
    with contextlib.suppress(grpc.aio.BaseError):
        await _abort(context, *outcome_of(error))


async def _abort(context: Any, code: Any, details: str, metadata: Any) -> None:
    try:
        await context.abort(code, details, metadata)
    except grpc.aio.AbortError as error:
        # The context keeps the error, and with it this frame, and raises it again by itself.
        error.__traceback__ = error.__context__ = None
