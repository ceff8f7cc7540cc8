"""HTTP/2 in frames, for loads that a gRPC client cannot make: cheap, exact in time, or malformed on purpose.

Frames and header blocks as in RFC 9113 and RFC 7541; nothing that a gRPC server does not send is understood.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Final

SERVICE: Final = "/twinserve.v1.PredictService/"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 2, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
NO_ERROR, CANCEL = 0, 8
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
HEAD = struct.Struct(">HBBBI")


class BrokenError(RuntimeError):
    """The server ended a stream or the connection, or answered with an error."""


def pack(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def preface() -> bytes:
    """What a client begins with: answers may be of any size, and their headers need no dynamic table."""
    settings = struct.pack(">HIHI", 1, 0, INITIAL_WINDOW_SIZE, LARGEST_WINDOW)
    window = pack(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + pack(SETTINGS, 0, 0, settings) + window


def request_headers(method: str, timeout_ms: int = 0) -> bytes:
    """The header block of a gRPC request, without Huffman codes or a dynamic table; a timeout of 0: none."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    fixed = b"\x83\x86" + b"\x04" + text(SERVICE + method) + b"\x01" + text("localhost")
    fixed += b"\x0f\x10" + text("application/grpc") + b"\0" + text("te") + text("trailers")
    return fixed + (b"\0" + text("grpc-timeout") + text(f"{timeout_ms}m") if timeout_ms else b"")


class Connection:
    """One HTTP/2 connection, not blocking; it never sends more than the server's windows allow."""

    def __init__(self, port: int, method: str, timeout_ms: int = 0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.waiting: dict[int, float] = {}
        #: How many streams the server lets us have open at once.
        self.most_streams = LARGEST_WINDOW
        self._headers = request_headers(method, timeout_ms)
        self._next_stream = 1
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._window = self._first_window = DEFAULT_WINDOW
        self._windows: dict[int, int] = {}
        self._outgoing += preface()

    def fileno(self) -> int:
        """For select."""
        return self.sock.fileno()

    @property
    def unsent(self) -> bool:
        """Whether the socket has not taken everything."""
        return bool(self._outgoing)

    def open(self) -> int:
        """Begin a stream."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._windows[stream] = self._first_window
        self._outgoing += pack(HEADERS, END_HEADERS, stream, self._headers)
        return stream

    def send(self, stream: int, message: bytes, *, end: bool) -> bool:
        """Put a framed message on a stream; False: the server's window has no room for it yet."""
        if min(self._window, self._windows[stream]) < len(message):
            return False
        self._window -= len(message)
        self._windows[stream] -= len(message)
        self._outgoing += pack(DATA, END_STREAM if end else 0, stream, message)
        return True

    def reset(self, stream: int) -> None:
        """Give a stream up."""
        self._outgoing += pack(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
        self.closed(stream)

    def flush(self) -> None:
        """Write what the socket takes."""
        with contextlib.suppress(BlockingIOError):
            del self._outgoing[: self.sock.send(self._outgoing)]

    def receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """DATA, HEADERS and RST_STREAM that have arrived: kind, flags, stream, payload.

        Raises:
            BrokenError: the server gave up.
        """
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            raise BrokenError(f"the server closed the connection ({error.strerror})") from None
        if not data:
            raise BrokenError("the server closed the connection")
        self._incoming += data
        at, end = 0, len(self._incoming)
        while end - at >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(self._incoming, at)
            after = at + HEAD.size + (high << 8 | low)
            if after > end:
                break
            payload = bytes(self._incoming[at + HEAD.size : after])
            at = after
            if kind in (DATA, HEADERS, RST_STREAM):
                yield kind, flags, stream, payload
            else:
                self._control(kind, flags, stream, payload)
        del self._incoming[:at]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    for one in self._windows:
                        self._windows[one] += value - self._first_window
                    self._first_window = value
                elif name == MAX_CONCURRENT_STREAMS:
                    self.most_streams = value
            self._outgoing += pack(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._outgoing += pack(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if stream == 0:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind == GOAWAY:
            raise BrokenError(f"the server gave up: {payload!r}")

    def closed(self, stream: int) -> None:
        """A stream is over."""
        del self._windows[stream]
