"""What h2load cannot do: a bidirectional stream with a window, and an open loop. A process of its own; prints JSON.

``python http2_load.py stream|open --port P --variant int8 --seconds 3 [--in-flight 64] [--rate R] --models DIR``

It writes and reads HTTP/2 frames itself: a gRPC client in Python costs more CPU than the server it measures, sends late
and shares the server's cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import time
from pathlib import Path

import numpy as np

from twinserve_bench.h2load import frame
from twinserve_bench.http2 import DATA, END_STREAM, HEADERS, RST_STREAM, BrokenError, Connection
from twinserve_bench.messages import TestSet


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
                if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                    raise BrokenError(f"a stream ended: {payload!r}")
                if kind == DATA:
                    buffer += payload
            at = 0
            while len(buffer) - at >= 5 and len(buffer) - at - 5 >= (size := int.from_bytes(buffer[at + 1 : at + 5])):
                # An error is also an answer, and a short one: field 2 of the message.
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
        # select, not epoll: its timeout is in microseconds.
        readable, _, _ = select.select(lines, [one for one in lines if one.unsent], [], max(0.0, due))
        for line in readable:
            for kind, flags, number, payload in line.receive():
                if kind == RST_STREAM:
                    raise BrokenError(f"a stream was reset: {payload!r}")
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
