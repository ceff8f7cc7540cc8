"""0.0.0.0 means every IPv4 address; gRPC takes it for every address, IPv6 as well."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from ipaddress import IPv4Address
from typing import Final

#: Compared with, not listened on.
EVERY_IPV4: Final = str(IPv4Address(0))
_PAUSE_SECONDS: Final = 0.02
_ATTEMPTS: Final = 500


@asynccontextmanager
async def only_ipv4(host: str, port: int) -> AsyncIterator[None]:
    """Listening on ``port`` within this block opens it for IPv4 alone, where ``host`` is 0.0.0.0.

    gRPC opens the port for IPv6 first, and is content with IPv4 when somebody holds it there: a socket of ours, for as
    long as the block lasts. It must be bound after every socket that shares the port by SO_REUSEPORT, because Linux
    skips the check for conflicts when the last one bound did; that it can be bound but once makes the gateways take
    turns.
    """
    if host != EVERY_IPV4:
        yield
        return
    with ExitStack() as stack:
        with suppress(OSError):  # without IPv6 there is nothing to close
            held = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for _ in range(_ATTEMPTS):
                if _bound(held, port):
                    break
                await asyncio.sleep(_PAUSE_SECONDS)
        yield


def _bound(held: socket.socket, port: int) -> bool:
    """Whether the port is ours for IPv6; False: another gateway has it for the moment.

    Raises:
        OSError: there is no IPv6.
    """
    try:
        held.bind(("::", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
