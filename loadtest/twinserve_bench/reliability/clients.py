"""Clients that ask one after the other, all in one cheap process, with the deadline of gRPC; prints JSON.

    python -m twinserve_bench.reliability.clients --port P --models DIR --clients 512 --deadline-ms 100 --seconds 5

Each client has a connection of its own and ``--in-flight`` requests unanswered. A refused one asks again when the
server says (``grpc-retry-pushback-ms``), or at once with ``--impatient``; one whose deadline passes, at once.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import selectors
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import numpy as np

from twinserve_bench.h2load import frame
from twinserve_bench.http2 import END_STREAM, HEADERS, RST_STREAM, BrokenError, Connection
from twinserve_bench.messages import TestSet

_STATUS: Final = re.compile(rb"grpc-status.(\d+)", re.DOTALL)
_PUSHBACK: Final = re.compile(rb"grpc-retry-pushback-ms.(\d+)", re.DOTALL)
OK: Final = "0"
#: The client gave up at its deadline; RST_STREAM from the server; the connection ended.
LATE, RESET, BROKEN = "late", "reset", "broken"
#: Connections per second that a client opens, because the server's backlog is finite.
CONNECTIONS_A_SECOND: Final = 2000


@dataclass(slots=True)
class Outcome:
    """What the clients saw.

    Attributes:
        seconds: of measured time.
        ends: how many requests ended with each gRPC status (as a number), late, reset, or broken.
        p50_ms: of the good answers; p99_ms likewise.
        ok_per_second: good answers.
    """

    seconds: float = 0.0
    ends: dict[str, int] = field(default_factory=dict)
    p50_ms: float = float("nan")
    p99_ms: float = float("nan")
    ok_per_second: float = 0.0


class Clients:
    """``count`` clients in one event loop."""

    def __init__(
        self, port: int, message: bytes, count: int, in_flight: int, deadline_ms: int, *, impatient: bool
    ) -> None:
        self._message = message
        self._deadline = deadline_ms / 1e3
        self._impatient = impatient
        self._in_flight = in_flight
        self._selector = selectors.DefaultSelector()
        self._alive: dict[Connection, None] = {}
        #: (when, connection, stream), in the order sent.
        self._expiring: deque[tuple[float, Connection, int]] = deque()
        #: (when, tie-breaker, connection): those that retry later.
        self._resting: list[tuple[float, int, Connection]] = []
        self._tie = 0
        self._jitter = random.Random(1)
        self._measuring = False
        self.ends: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._port, self._timeout_ms = port, deadline_ms
        for _ in range(count):
            self._connect()
            time.sleep(1 / CONNECTIONS_A_SECOND)

    def run(self, warm_up: float, seconds: float) -> Outcome:
        """Ask for ``warm_up`` and then for ``seconds``, of which the outcome is told."""
        for line in list(self._alive):
            for _ in range(self._in_flight):
                self._ask(line)
            line.flush()
        self._until(time.perf_counter() + warm_up)
        self._measuring = True
        started = time.perf_counter()
        self._until(started + seconds)
        took = time.perf_counter() - started
        found = Outcome(took, dict(self.ends))
        if self.latencies:
            found.p50_ms, found.p99_ms = (float(value) for value in np.percentile(self.latencies, [50, 99]) * 1e3)
        found.ok_per_second = len(self.latencies) / took
        return found

    def _connect(self) -> None:
        line = Connection(self._port, "Predict", self._timeout_ms)
        self._alive[line] = None
        self._selector.register(line.sock, selectors.EVENT_READ, line)

    def _until(self, end: float) -> None:
        while (now := time.perf_counter()) < end:
            self._wake(now)
            due = min(
                end,
                self._expiring[0][0] if self._expiring else end,
                self._resting[0][0] if self._resting else end,
            )
            for key, _ in self._selector.select(max(0.0, due - now)):
                line: Connection = key.data
                try:
                    self._read(line)
                    if line.unsent:
                        line.flush()
                except (BrokenError, OSError):
                    self._broken(line)

    def _wake(self, now: float) -> None:
        """Who has waited long enough gives up; who has rested asks again."""
        while self._expiring and self._expiring[0][0] <= now:
            _, line, stream = self._expiring.popleft()
            if line.waiting.pop(stream, None) is not None:
                line.reset(stream)
                self._end(LATE)
                self._ask(line)
                self._flush(line)
        while self._resting and self._resting[0][0] <= now:
            line = heappop(self._resting)[2]
            if line in self._alive:
                self._ask(line)
                self._flush(line)

    def _read(self, line: Connection) -> None:
        for kind, flags, stream, payload in line.receive():
            if stream not in line.waiting:
                continue
            if kind == HEADERS and flags & END_STREAM:
                started = line.waiting.pop(stream)
                line.closed(stream)
                found = _STATUS.search(payload)
                status = found[1].decode() if found else RESET
                if status == OK and self._measuring:
                    self.latencies.append(time.perf_counter() - started)
                self._end(status)
                wait = _PUSHBACK.search(payload)
                if wait is None or self._impatient:
                    self._ask(line)
                else:
                    self._rest(line, int(wait[1]) / 1e3)
            elif kind == RST_STREAM:
                del line.waiting[stream]
                line.closed(stream)
                self._end(RESET)
                self._ask(line)

    def _ask(self, line: Connection) -> None:
        if len(line.waiting) >= line.most_streams:
            self._rest(line, 0.001)
            return
        stream = line.open()
        now = time.perf_counter()
        line.waiting[stream] = now
        if not line.send(stream, self._message, end=True):
            del line.waiting[stream]
            line.reset(stream)
            self._rest(line, 0.001)
            return
        if self._deadline:
            self._expiring.append((now + self._deadline, line, stream))

    def _rest(self, line: Connection, seconds: float) -> None:
        self._tie += 1
        seconds *= self._jitter.uniform(0.8, 1.2)
        heappush(self._resting, (time.perf_counter() + seconds, self._tie, line))

    def _flush(self, line: Connection) -> None:
        try:
            line.flush()
        except OSError:
            self._broken(line)

    def _broken(self, line: Connection) -> None:
        if line not in self._alive:
            return
        for _ in line.waiting:
            self._end(BROKEN)
        line.waiting.clear()
        self._selector.unregister(line.sock)
        line.sock.close()
        self._alive.pop(line, None)

    def _end(self, how: str) -> None:
        if self._measuring:
            self.ends[how] += 1


def main() -> None:
    """Run one group of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--images", type=int, default=1, help="in one request")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1, help="of each client")
    parser.add_argument("--deadline-ms", type=int, default=0, help="0: none")
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--impatient", action="store_true", help="ask again at once when refused")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, given.clients + 256)), hard))
    message = frame(TestSet(given.models).request(given.variant, given.images).SerializeToString())
    clients = Clients(given.port, message, given.clients, given.in_flight, given.deadline_ms, impatient=given.impatient)
    print(json.dumps(asdict(clients.run(given.warm_up, given.seconds))))


if __name__ == "__main__":
    main()
