"""The portable transport: grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc

from twinserve_server.rpc.serve import encoded
from twinserve_server.transport.aio_call import answer, answer_each
from twinserve_server.transport.base import Door, PortError, channel_arguments
from twinserve_server.transport.idle import SWEEP_SECONDS, IdleCalls


class AioTransport:
    """Serves handlers on grpc.aio."""

    name = "aio"

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = doors
        self._idle = IdleCalls(doors[0].options.limits.idle_call_seconds)
        self._servers = [self._server(door) for door in doors]
        self._sweep: asyncio.TimerHandle | None = None

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
        self._keep_house()

    def later(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    async def drain(self, grace_seconds: float) -> None:
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
        if self._sweep is not None:
            self._sweep.cancel()

    def _keep_house(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._keep_house)
        self._idle.sweep()

    def _server(self, door: Door) -> grpc.aio.Server:
        server = grpc.aio.server(options=channel_arguments(door.options))
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for handler in door.handlers:
            method = handler.method
            # As streams of requests, though most have but one: grpc.aio leaves those alone that get none.
            make: Any
            serve: Any
            if method.response_streaming:
                make, serve = grpc.stream_stream_rpc_method_handler, answer_each
            else:
                make, serve = grpc.stream_unary_rpc_method_handler, answer
            registered = make(partial(serve, handler, self._idle, door.options.limits.metadata_bytes), None, encoded)
            by_service.setdefault(method.service, {})[method.name] = registered
        for service, methods in by_service.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        return server
