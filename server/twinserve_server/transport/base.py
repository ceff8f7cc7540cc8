"""The interface of a transport: what a gateway needs, whichever library moves the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from twinserve_host.exposure import host_and_port
from twinserve_server.errors import TwinserveError

if TYPE_CHECKING:  # the settings take their limits from here, for which the supervisor should not need gRPC
    from twinserve_server.rpc.serve import RpcHandler

#: More than any machine can answer before its callers' deadlines pass.
MAX_PENDING_CALLS: Final = 100_000
#: Clients that ping more often are disconnected: GOAWAY with ENHANCE_YOUR_CALM, "too_many_pings".
LEAST_PING_MS: Final = 10_000
#: A client that has been silent for this long is pinged, and has this long to answer.
KEEPALIVE_MS: Final = 60_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
#: gRPC core's word for no limit.
NEVER_MS: Final = 2**31 - 1


class PortError(TwinserveError):
    """The server cannot listen on its address."""

    reason = "PORT"


class TransportError(TwinserveError):
    """The requested transport cannot run here."""

    reason = "TRANSPORT"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take of a transport.

    Attributes:
        connections: on one port; further ones are closed at once.
        calls: open at once on one connection; the client is told, and lets others wait.
        metadata_bytes: of one call.
        idle_seconds: a connection without a call for so long is closed, in order; 0: none is.
        idle_call_seconds: a call whose client has the next move for so long is ended; 0: none is.
    """

    connections: int = 10_000
    calls: int = 1024
    metadata_bytes: int = 16 << 10
    idle_seconds: float = 0.0
    idle_call_seconds: float = 0.0


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
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)

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
        """Refuse new RPCs, answer the accepted ones within ``grace_seconds``, then release the ports."""


def channel_arguments(options: ListenOptions) -> list[tuple[str, Any]]:
    """gRPC's settings for a listening server."""
    limits = options.limits
    return [
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # Calls that have arrived but are not accepted yet. Beyond 1,000, gRPC core cancels them at random, which
        # nothing counts and no client retries. The variants' queues have their own bounds, with a status that says so.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        # Besides the bound itself, this keeps streams that are opened and reset at once from piling up.
        ("grpc.max_concurrent_streams", limits.calls),
        # Both limits: between the two, gRPC core refuses at random.
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.metadata_bytes),
        ("grpc.max_connection_idle_ms", max(1, round(limits.idle_seconds * 1e3)) if limits.idle_seconds else NEVER_MS),
        # Clients may ping every 10 s, also without calls; the SDK does so every 30 s.
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # The setting that gRPC core actually uses; its default is 60 s.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ]
