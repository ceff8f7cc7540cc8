"""Who can reach a port: only this machine, or whoever the network lets through."""

from __future__ import annotations

import ipaddress
import socket


def host_and_port(host: str, port: int) -> str:
    """An address as it is written: IPv6 goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_private(host: str) -> bool:
    """Whether a port that listens on ``host``, a name or an address, can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False  # to listen there will fail, and say so
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
