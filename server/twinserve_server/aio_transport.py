"""The portable transport: grpc.aio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from twinserve_server.core.errors import TwinserveError
from twinserve_server.interceptors import Handler, Interceptor


class PortError(TwinserveError):
    """The server cannot listen where it was told to."""

    reason = "PORT"


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how a transport listens."""

    host: str
    port: int
    reuse_port: bool
    max_message_bytes: int


class AioTransport:
    """Serves handlers on grpc.aio."""

    name = "aio"

    def __init__(
        self, options: ListenOptions, handlers: Sequence[Handler], interceptors: Sequence[Interceptor]
    ) -> None:
        """``interceptors`` go from the outermost to the innermost."""
        self._options = options
        self._server = grpc.aio.server(options=channel_arguments(options))
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for handler in handlers:
            wrapped = handler
            for interceptor in reversed(interceptors):
                wrapped = interceptor.wrap(wrapped)
            by_service.setdefault(handler.service, {})[handler.method] = wrapped.to_grpc()
        for service, methods in by_service.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))

    async def start(self) -> None:
        """Listen.

        Raises:
            PortError: the address is taken or not ours.
        """
        address = f"{self._options.host}:{self._options.port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError:
            raise PortError(f"cannot listen on {address}: the address is in use or not of this machine") from None
        await self._server.start()

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new RPCs, answer the accepted ones, within ``grace_seconds``."""
        await self._server.stop(grace_seconds)


def channel_arguments(options: ListenOptions) -> list[tuple[str, Any]]:
    """gRPC's settings for a listening server."""
    return [
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # Clients may ping every 10 s, also without calls; the SDK does.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
