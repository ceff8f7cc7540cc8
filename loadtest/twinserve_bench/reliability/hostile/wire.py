"""Broken, slow and greedy HTTP/2: each attack goes on until its time is up, and returns how often it was made."""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final

from twinserve_bench.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, pack, preface, request_headers
from twinserve_bench.reliability.fuzz.mutator import mutations

#: port, dice, until (by the monotonic clock), how often at the most -> how often.
Attack = Callable[[int, random.Random, float, int], int]

CONTINUATION: Final = 9
#: A frame's, without other settings.
MOST_PAYLOAD: Final = 16_384
#: A server that does not close a connection is left alone after so long.
PATIENCE_SECONDS: Final = 0.05
#: Of the slow: their connections, and how long each waits before its next byte.
SLOW_CONNECTIONS, SLOW_SECONDS = 200, 0.02
#: Of those that say little and stay.
HALF_OPEN: Final = 2000
#: Without a wait for the other side's farewell.
_AT_ONCE: Final = struct.pack("ii", 1, 0)
_PATHS: Final = ("Predict", "PredictStream", "Compare", "DescribeModel", "Nothing")


def session(dice: random.Random) -> bytes:
    """What a client says that asks one thing, with a message that says nothing."""
    block = request_headers(dice.choice(_PATHS), dice.choice((0, 100)))
    return preface() + pack(HEADERS, END_HEADERS, 1, block) + pack(DATA, END_STREAM, 1, bytes(5))


def garbage(port: int, dice: random.Random, until: float, most: int) -> int:
    """Noise, noise in frames, and good sessions with some bytes spoilt."""
    spoilt = mutations([session(dice) for _ in range(20)], dice.randrange(1 << 30), 1 << 40)

    def noise() -> bytes:
        return dice.choice((dice.randbytes(dice.randint(1, 4096)), preface() + _frames(dice), next(spoilt)))

    return _each_alone(port, dice, until, most, noise)


def truncated(port: int, dice: random.Random, until: float, most: int) -> int:
    """Good sessions that end at any byte."""

    def cut() -> bytes:
        whole = session(dice)
        return whole[: dice.randrange(len(whole))]

    return _each_alone(port, dice, until, most, cut)


def connects(port: int, dice: random.Random, until: float, most: int) -> int:
    """Connections that come and go, with and without a greeting."""
    return _each_alone(port, dice, until, most, lambda: dice.choice((b"", preface())), waits=False)


def hpack(port: int, _: random.Random, until: float, most: int) -> int:
    """A few bytes of headers that stand for megabytes: one long field, and an index to it, thousands of times."""
    size = 4000
    # A literal with incremental indexing (64), name and value spelt out; lengths of 127 and more in two bytes or more.
    long = b"\x40\x01x" + b"\x7f" + _varint(size - 127) + b"a" * size
    block = request_headers("Predict") + long
    block += b"\xbe" * (MOST_PAYLOAD - len(block))
    return _streams(port, until, most, lambda stream: pack(HEADERS, END_HEADERS, stream, block))


def continuations(port: int, _: random.Random, until: float, most: int) -> int:
    """Headers without end."""
    entry = b"\0\x01x\x7f" + _varint(MOST_PAYLOAD - 200 - 127) + b"a" * (MOST_PAYLOAD - 200)

    def next_one(stream: int) -> bytes:
        first = stream % 200 == 1
        return pack(HEADERS if first else CONTINUATION, 0, stream - (stream - 1) % 200, entry)

    return _streams(port, until, most, next_one)


def slow(port: int, dice: random.Random, until: float, most: int) -> int:
    """Greeting, headers and message of many connections, byte by byte."""
    lines: list[tuple[socket.socket, Iterator[int]]] = []
    begun = 0
    while time.monotonic() < until:
        while len(lines) < SLOW_CONNECTIONS and begun < most:
            with contextlib.suppress(OSError):
                lines.append((_connected(port), iter(session(dice))))
            begun += 1
        alive = []
        for sock, rest in lines:
            byte = next(rest, None)
            with contextlib.suppress(OSError):
                if byte is not None and sock.send(bytes((byte,))):
                    alive.append((sock, rest))
                    continue
            sock.close()
        lines = alive
        time.sleep(SLOW_SECONDS)
    for sock, _ in lines:
        sock.close()
    return begun


def half_open(port: int, dice: random.Random, until: float, most: int) -> int:
    """Connections that say nothing, or half of what they should, and stay."""
    begun = 0
    with contextlib.ExitStack() as stack:
        while begun < min(most, HALF_OPEN) and time.monotonic() < until:
            begun += 1
            with contextlib.suppress(OSError):
                sock = stack.enter_context(_connected(port))
                block = pack(HEADERS, END_HEADERS, 1, request_headers(dice.choice(_PATHS)))
                sock.send(dice.choice((b"", preface()[: dice.randrange(24)], preface(), preface() + block)))
        time.sleep(max(0.0, until - time.monotonic()))
    return begun


ATTACKS: Final[dict[str, Attack]] = {
    "garbage": garbage,
    "truncated": truncated,
    "connects": connects,
    "hpack": hpack,
    "continuations": continuations,
    "slow": slow,
    "half_open": half_open,
}


def _each_alone(
    port: int, dice: random.Random, until: float, most: int, make: Callable[[], bytes], *, waits: bool = True
) -> int:
    """One connection for each of what is made; one in two leaves without a farewell."""
    times = 0
    while times < most and time.monotonic() < until:
        times += 1
        with contextlib.suppress(OSError), _connected(port) as sock:
            sock.sendall(make())
            if dice.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            elif waits:
                sock.settimeout(PATIENCE_SECONDS)
                while sock.recv(1 << 16):
                    pass
    return times


def _streams(port: int, until: float, most: int, make: Callable[[int], bytes]) -> int:
    """One frame after the other on a connection, until the server ends it; then on another one."""
    times = 0
    while times < most and time.monotonic() < until:
        with contextlib.suppress(OSError), _connected(port) as sock:
            sock.sendall(preface())
            for stream in itertools.count(1, 2):
                if times >= most or time.monotonic() > until:
                    break
                times += 1
                sock.sendall(make(stream))
                _drop_answers(sock)
    return times


def _drop_answers(sock: socket.socket) -> None:
    while select.select([sock], [], [], 0)[0]:
        if not sock.recv(1 << 16):
            raise ConnectionResetError


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 5.0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _frames(dice: random.Random) -> bytes:
    """Frames of any kind with any content; one in eight tells a wrong length."""
    made = bytearray()
    for _ in range(dice.randint(1, 20)):
        payload = dice.randbytes(dice.choice((0, 1, 4, 5, 6, 8, 17, 300)))
        frame = bytearray(pack(dice.randrange(12), dice.randrange(256), dice.choice((0, 1, 2, 3, 1 << 31)), payload))
        if dice.random() < 0.125:
            frame[dice.randrange(3)] ^= 1 << dice.randrange(8)
        made += frame
    return bytes(made)


def _varint(value: int) -> bytes:
    """The rest of an HPACK integer whose prefix is full."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes((*made, value))
