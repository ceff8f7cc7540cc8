"""Just enough HTTP/2 to send a gRPC request in pieces of the test's choosing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.server_process import request
from support.tiny_model import items

#: Types of frames, and a flag.
DATA, HEADERS, END_STREAM = 0, 1, 1


def connect(server: Any, certificates: Path) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.grpc_port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not server.tls:
        return sock
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(sock, server_hostname="localhost")


def read(sock: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, data
        data += chunk
    return data


def frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of each, until the server closes the connection."""
    with contextlib.suppress(AssertionError, ConnectionError):
        while True:
            head = read(sock, 9)
            yield head[3], read(sock, int.from_bytes(head[:3], "big"))


def message() -> bytes:
    return request(items(1), variant="fp32").SerializeToString()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(path: str) -> bytes:
    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    # POST, http, path, authority, content-type, te: HPACK without tables and without Huffman.
    return (
        b"\x83\x86\x04" + text(path) + b"\x01" + text("localhost") + b"\x0f\x10" + text("application/grpc")
    ) + b"".join((b"\0", text("te"), text("trailers")))


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
