"""A TCP proxy that delays, trickles, holds back and cuts what passes through it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

_READ_BYTES: Final = 1 << 16
#: close() then sends RST, and data that the other side has not read is lost.
_RESET: Final = struct.pack("ii", 1, 0)


class CutError(Exception):
    """The connection ends here."""


#: From the wire and the data that arrived to the data passed on, piece by piece.
Way = Callable[["Wire", bytes], Iterator[bytes]]


def passing(_: Wire, data: bytes) -> Iterator[bytes]:
    """Nothing happens to it."""
    yield data


def delayed(seconds: float) -> Way:
    """It arrives later."""

    def way(wire: Wire, data: bytes) -> Iterator[bytes]:
        wire.rest(seconds)
        yield data

    return way


def trickling(size: int, seconds: float) -> Way:
    """``size`` bytes arrive every ``seconds``."""

    def way(wire: Wire, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]
            wire.rest(seconds)

    return way


def cut_after(count: int) -> Way:
    """The connection on which the byte after so many comes is reset; what comes later passes."""
    left = count

    def way(_: Wire, data: bytes) -> Iterator[bytes]:
        nonlocal left
        before, left = left, left - len(data)
        if 0 <= before < len(data):
            yield data[:before]
            raise CutError
        yield data

    return way


def held(wire: Wire, data: bytes) -> Iterator[bytes]:
    """A black hole: nobody hears anything until the wire gets better."""
    while held in wire.ways and not wire.over:
        wire.rest(0.01)
    yield data


class Wire:
    """Forwards every connection to a port of this machine. A context manager.

    Attributes:
        ways: what happens to the bytes to the server, and to those to the client; looked at for all that arrives.
    """

    def __init__(self, port: int) -> None:
        self.ways: tuple[Way, Way] = (passing, passing)
        self._to = port
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Wire:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for end in self._sockets:
            _hang_up(end)
        for thread in self._threads[1:]:
            thread.join()

    @property
    def over(self) -> bool:
        """Whether it ends."""
        return self._over.is_set()

    def rest(self, seconds: float) -> None:
        """Wait, unless it ends."""
        self._over.wait(seconds)

    def _accept(self) -> None:
        while not self.over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(end)
            for side, (source, target) in enumerate(((client, server), (server, client))):
                thread = threading.Thread(target=self._forward, args=(side, source, target))
                self._threads.append(thread)
                thread.start()

    def _forward(self, side: int, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                for piece in self.ways[side](self, data):
                    target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except CutError:
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                _hang_up(end)
        except OSError:
            for end in (source, target):
                _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    """Close it, also under the thread that reads from it."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)
    end.close()
