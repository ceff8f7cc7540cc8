"""The portable transport: grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from twinserve_server.rpc.serve import RpcHandler, encoded
from twinserve_server.transport.base import ListenOptions, PortError, channel_arguments


class AioTransport:
    """Serves handlers on grpc.aio."""

    name = "aio"

    def __init__(self, options: ListenOptions, handlers: Sequence[RpcHandler]) -> None:
        self._options = options
        self._server = grpc.aio.server(options=channel_arguments(options))
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for handler in handlers:
            method = handler.method
            by_service.setdefault(method.service, {})[method.name] = _registered(handler)
        for service, methods in by_service.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))

    async def start(self) -> None:
        """Listen; see :meth:`Transport.start`."""
        address, credentials = self._options.address, self._options.credentials
        try:
            if credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise PortError(f"cannot listen on {address}: the address is in use or not of this machine") from None
        await self._server.start()

    def later(self, callback: Callable[[], None]) -> None:
        """See :meth:`Transport.later`."""
        asyncio.get_running_loop().call_soon(callback)

    async def drain(self, grace_seconds: float) -> None:
        """See :meth:`Transport.drain`."""
        await self._server.stop(grace_seconds)


def _registered(handler: RpcHandler) -> grpc.RpcMethodHandler[Any, Any]:
    """``handler`` as grpc registers it."""
    make: Any = {
        "unary": grpc.unary_unary_rpc_method_handler,
        "server_stream": grpc.unary_stream_rpc_method_handler,
        "client_stream": grpc.stream_unary_rpc_method_handler,
        "bidi_stream": grpc.stream_stream_rpc_method_handler,
    }[handler.method.kind]
    registered: grpc.RpcMethodHandler[Any, Any] = make(handler.handle, None, encoded)
    return registered
