"""The narrow interface of a transport: what a gateway needs, whichever library moves the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twinserve_host.exposure import host_and_port
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.serve import RpcHandler

#: More than any machine works off before its callers' deadlines pass.
MAX_PENDING_CALLS: Final = 100_000


class PortError(TwinserveError):
    """The server cannot listen where it was told to."""

    reason = "PORT"


class TransportError(TwinserveError):
    """The transport that was asked for cannot run here."""

    reason = "TRANSPORT"


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Where and how a transport listens.

    Attributes:
        credentials: a ``grpc.ServerCredentials``; None: plain text.
    """

    host: str
    port: int
    reuse_port: bool
    max_message_bytes: int
    credentials: Any = None

    @property
    def address(self) -> str:
        """As gRPC wants it: an IPv6 address goes into brackets, ``unix:path`` is one by itself."""
        return self.host if self.host.startswith("unix:") else host_and_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Door:
    """One port, and what is served there."""

    options: ListenOptions
    handlers: Sequence[RpcHandler]


class Transport(Protocol):
    """Serves behind the doors it was made with."""

    @property
    def name(self) -> str:
        """What logs and metrics call it."""

    async def start(self) -> None:
        """Listen.

        Raises:
            PortError: the address is taken or not ours.
        """

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the loop, soon, after the requests that have arrived together."""

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new RPCs, answer the accepted ones, within ``grace_seconds``; then let go of the ports."""


def channel_arguments(options: ListenOptions) -> list[tuple[str, Any]]:
    """gRPC's settings for a listening server."""
    return [
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # Calls that have arrived and are not taken yet: beyond 1,000 gRPC core cancels them at random, which nobody
        # counts and no client tries again. The variants' queues have bounds of their own, and a status that says so.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        # Clients may ping every 10 s, also without calls; the SDK does.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
