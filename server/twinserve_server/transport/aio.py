"""The portable transport: grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from twinserve_server.rpc.serve import RpcHandler, encoded
from twinserve_server.transport.base import Door, PortError, channel_arguments


class AioTransport:
    """Serves handlers on grpc.aio."""

    name = "aio"

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors
        self._servers = [_server(door) for door in doors]

    async def start(self) -> None:
        """Listen; see :meth:`Transport.start`."""
        for door, server in zip(self._doors, self._servers, strict=True):
            address, credentials = door.options.address, door.options.credentials
            try:
                if credentials is None:
                    server.add_insecure_port(address)
                else:
                    server.add_secure_port(address, credentials)
            except RuntimeError:
                raise PortError(
                    f"cannot listen on {address}: the address is in use, or does not belong to this machine"
                ) from None
            await server.start()

    def later(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    async def drain(self, grace_seconds: float) -> None:
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))


def _server(door: Door) -> grpc.aio.Server:
    server = grpc.aio.server(options=channel_arguments(door.options))
    by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for handler in door.handlers:
        method = handler.method
        by_service.setdefault(method.service, {})[method.name] = _registered(handler)
    for service, methods in by_service.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    return server


def _registered(handler: RpcHandler) -> grpc.RpcMethodHandler[Any, Any]:
    """``handler`` as grpc registers it."""
    make: Any = {
        "unary": grpc.unary_unary_rpc_method_handler,
        "server_stream": grpc.unary_stream_rpc_method_handler,
        "client_stream": grpc.stream_unary_rpc_method_handler,
        "bidi_stream": grpc.stream_stream_rpc_method_handler,
    }[handler.method.kind]
    handle = handler.handle if handler.method.response_streaming else _one_answer(handler)
    registered: grpc.RpcMethodHandler[Any, Any] = make(handle, None, encoded)
    return registered


def _one_answer(handler: RpcHandler) -> Callable[[Any, Any], Awaitable[Any]]:
    """``handler.handle`` whose errors are a status and nothing else.

    Left to itself, grpc.aio sends an empty message before the status of an error, and no client retries a call whose
    answer has begun.
    """

    async def handle(raw: Any, context: Any) -> Any:
        response = await handler.handle(raw, context)
        if response is None and not context.done():
            try:
                await context.abort(context.code(), context.details())
            except grpc.aio.AbortError as error:
                # The context keeps the error, and with it this frame; it raises it again by itself.
                error.__traceback__ = error.__context__ = None
        return response

    return handle
