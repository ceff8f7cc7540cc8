"""The way into a server for callers."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_server.access.guard import Guard
from twinserve_server.transport.certificates import Certificates


@dataclass(frozen=True, slots=True)
class Entrance:
    """Port, tokens, certificates.

    Attributes:
        port: of gRPC.
        guard: checks the tokens that a gateway starts with; None if callers need none.
        certificates: the ones that a gateway starts with; None for plain-text gRPC.
        admin: address and port of admin calls; None if the gRPC port answers them.
    """

    port: int
    guard: Guard | None = None
    certificates: Certificates | None = None
    admin: tuple[str, int] | None = None
