"""What h2load cannot do: a bidirectional stream with a window, and an open loop. A process of its own; prints JSON.

``python http2_load.py stream|open --port P --variant int8 --seconds 3 [--in-flight 64] [--rate R] --models DIR``

It writes and reads HTTP/2 frames itself: a gRPC client in Python costs more CPU than the server it measures, sends late
and shares the server's cores. Frames and header blocks as in RFC 9113 and RFC 7541, nothing that a gRPC server does not
send is understood.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from twinserve_bench.h2load import frame
from twinserve_bench.messages import TestSet

SERVICE = "/twinserve.v1.PredictService/"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
HEAD = struct.Struct(">HBBBI")


class BrokenError(RuntimeError):
    """The server ended a stream or the connection, or answered with an error."""


def pack(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def request_headers(method: str) -> bytes:
    """The header block of a gRPC request, without Huffman codes or a dynamic table."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    fixed = b"\x83\x86" + b"\x04" + text(SERVICE + method) + b"\x01" + text("localhost")
    return fixed + b"\x0f\x10" + text("application/grpc") + b"\0" + text("te") + text("trailers")


class Connection:
    """One HTTP/2 connection, not blocking; it never sends more than the server's windows allow."""

    def __init__(self, port: int, method: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.waiting: dict[int, float] = {}
        self._headers = request_headers(method)
        self._next_stream = 1
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._window = self._first_window = DEFAULT_WINDOW
        self._windows: dict[int, int] = {}
        settings = struct.pack(">HIHI", 1, 0, INITIAL_WINDOW_SIZE, LARGEST_WINDOW)
        self._outgoing += b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + pack(SETTINGS, 0, 0, settings)
        self._outgoing += pack(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW))

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

    def flush(self) -> None:
        """Write what the socket takes."""
        with contextlib.suppress(BlockingIOError):
            del self._outgoing[: self.sock.send(self._outgoing)]

    def receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """DATA and HEADERS that have arrived: kind, flags, stream, payload.

        Raises:
            BrokenError: the server gave up.
        """
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
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
            if kind in (DATA, HEADERS):
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
            self._outgoing += pack(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._outgoing += pack(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if stream == 0:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind in (RST_STREAM, GOAWAY):
            raise BrokenError(f"the server gave up: frame {kind}, {payload!r}")

    def closed(self, stream: int) -> None:
        """A stream is over."""
        del self._windows[stream]


def stream(port: int, message: bytes, streams: int, in_flight: int, seconds: float) -> dict[str, float]:
    """Single images over ``streams`` bidirectional streams, ``in_flight`` of them unanswered in all."""
    connections = [Connection(port, "PredictStream") for _ in range(streams)]
    numbers = {connection: connection.open() for connection in connections}
    unanswered = dict.fromkeys(connections, 0)
    arrived = {connection: bytearray() for connection in connections}
    answered = 0
    started = time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        for connection in connections:
            while unanswered[connection] < in_flight // streams:
                if not connection.send(numbers[connection], message, end=False):
                    break
                unanswered[connection] += 1
            if connection.unsent:
                connection.flush()
        readable, _, _ = select.select(connections, [one for one in connections if one.unsent], [], 0.1)
        for connection in readable:
            buffer = arrived[connection]
            for kind, flags, _, payload in connection.receive():
                if kind == HEADERS and flags & END_STREAM:
                    raise BrokenError(f"a stream ended: {payload!r}")
                if kind == DATA:
                    buffer += payload
            at = 0
            while len(buffer) - at >= 5 and len(buffer) - at - 5 >= (size := int.from_bytes(buffer[at + 1 : at + 5])):
                # An error is an answer, too, and a short one: field 2 of the message.
                if buffer[at + 5] != 0x0A:
                    raise BrokenError(f"an error on the stream: {bytes(buffer[at + 5 : at + 5 + size])!r}")
                at += 5 + size
                answered += 1
                unanswered[connection] -= 1
            del buffer[:at]
    return {"images_per_second": answered / (now - started)}


def open_loop(port: int, message: bytes, connections: int, rate: float, seconds: float) -> dict[str, float]:
    """Poisson arrivals, drawn beforehand; latency from the intended send."""
    draw = random.Random(1)
    schedule, at = [], 0.0
    while at < seconds:
        at += draw.expovariate(rate)
        schedule.append(at)
    lines = [Connection(port, "Predict") for _ in range(connections)]
    for line in lines:
        line.flush()
    time.sleep(0.2)
    latencies: list[float] = []
    late: list[float] = []
    index, started = 0, time.perf_counter()
    while len(latencies) < len(schedule):
        now = time.perf_counter() - started
        if now > seconds + 10:
            raise BrokenError(f"{len(schedule) - len(latencies)} of {len(schedule)} requests had no answer in 10 s")
        while index < len(schedule) and schedule[index] <= now:
            line = lines[index % connections]
            number = line.open()
            if not line.send(number, message, end=True):
                raise BrokenError("the server's window is full: the rate is beyond what it takes")
            line.waiting[number] = schedule[index]
            line.flush()
            late.append(time.perf_counter() - started - schedule[index])
            index += 1
        due = schedule[index] - (time.perf_counter() - started) if index < len(schedule) else 0.1
        # select, not epoll: its timeout has microseconds.
        readable, _, _ = select.select(lines, [one for one in lines if one.unsent], [], max(0.0, due))
        for line in readable:
            for kind, flags, number, payload in line.receive():
                if kind == HEADERS and flags & END_STREAM:
                    if b"grpc-status\x010" not in payload:
                        raise BrokenError(f"an error: {payload!r}")
                    latencies.append(time.perf_counter() - started - line.waiting.pop(number))
                    line.closed(number)
        for line in lines:
            if line.unsent:
                line.flush()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    return {"p50_us": p50, "p99_us": p99, "rate": len(schedule) / seconds, "late_p99_us": np.percentile(late, 99) * 1e6}


def main() -> None:
    """Run one load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["stream", "open"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    # On cores that it shares with the server it must not wait for its turn to send; without the right to, it is late
    # and says so.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    message = frame(TestSet(arguments.models).request(arguments.variant).SerializeToString())
    load, amount = (stream, arguments.in_flight) if arguments.mode == "stream" else (open_loop, arguments.rate)
    print(json.dumps(load(arguments.port, message, arguments.connections, amount, arguments.seconds)))


if __name__ == "__main__":
    main()
