"""How callers come into a server."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_server.access.guard import Guard
from twinserve_server.transport.certificates import Certificates


@dataclass(frozen=True, slots=True)
class Entrance:
    """Port, tokens, certificates.

    Attributes:
        port: of gRPC.
        guard: holds the tokens that a gateway starts with; None: callers need none.
        certificates: those that a gateway starts with; None: gRPC is plain text.
        admin: address and port of admin calls; None: the gRPC port answers them.
    """

    port: int
    guard: Guard | None = None
    certificates: Certificates | None = None
    admin: tuple[str, int] | None = None
