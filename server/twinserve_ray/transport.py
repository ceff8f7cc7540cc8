"""Serve as the transport of a gateway: it takes the RPCs off the wire, elsewhere, and calls what is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from ray.serve.grpc_util import RayServegRPCContext

from twinserve_ray.context import CallContext, Encoded
from twinserve_server.rpc.serve import RpcHandler, encoded
from twinserve_server.transport.base import Door


class StreamError(Exception):
    """A stream that ends with another status than OK: Serve knows no other way to say so."""


class ServeTransport:
    """Answers the calls of a Serve deployment."""

    name = "ray-serve"

    def __init__(self, doors: Sequence[Door]) -> None:
        self._handlers: dict[str, RpcHandler] = {
            handler.method.name: handler for door in doors for handler in door.handlers
        }

    async def start(self) -> None:
        """Serve listens."""

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the loop soon, after the requests that have arrived together."""
        asyncio.get_running_loop().call_soon(callback)

    async def drain(self, grace_seconds: float) -> None:
        """Serve stops sending requests to a replica, and waits for those it has, before it ends it."""

    async def answer(self, method: str, raw: Any, context: RayServegRPCContext) -> Encoded:
        """One response; what went wrong is in ``context``."""
        response = await self._handlers[method].handle(raw, CallContext(context))
        return Encoded(b"" if response is None else encoded(response))

    async def answer_each(self, method: str, raw: Any, context: RayServegRPCContext) -> AsyncIterator[Encoded]:
        """The responses of a stream.

        Raises:
            StreamError: it ended with another status than OK, which is in ``context``.
        """
        ours = CallContext(context)
        ended: asyncio.Future[Any] = asyncio.ensure_future(self._run(method, raw, ours))
        try:
            while (message := await ours.written.get()) is not None:
                yield Encoded(message)
            await ended
        finally:
            ended.cancel()
        if ours.code() not in (None, 0, grpc.StatusCode.OK):
            raise StreamError(ours.details())

    async def _run(self, method: str, raw: Any, context: CallContext) -> None:
        try:
            await self._handlers[method].handle(raw, context)
        finally:
            await context.written.put(None)
