"""Who can reach a port: this machine only, or anyone the network lets through."""

from __future__ import annotations

import ipaddress
import socket


def host_and_port(host: str, port: int) -> str:
    """``host:port``, with IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_private(host: str) -> bool:
    """Whether a port that listens on ``host`` (a name or an address) can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False  # listening there will fail and say so
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
