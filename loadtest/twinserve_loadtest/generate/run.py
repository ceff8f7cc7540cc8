"""One block of load inside one Locust process: hands out requests and records the outcomes.

Locust's users ask for work (:meth:`BlockRun.next_request`), send it, and report the outcome. In a closed
loop the next request is due at once; in an open loop each has an intended send time from a schedule that
was drawn before the start. Everything here runs in one gevent hub: no locks are needed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gevent.event import Event

from twinserve_loadtest.generate.kept import Kept
from twinserve_loadtest.generate.record import BlockRecord
from twinserve_loadtest.generate.recorder import Tally
from twinserve_loadtest.generate.schedule import Share, indices_of, poisson_arrivals, shuffled
from twinserve_loadtest.generate.spec import ROUTED, BlockSpec
from twinserve_loadtest.generate.watch import GeneratorWatch
from twinserve_loadtest.record.measurement import AT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy.typing as npt

    from twinserve_client import Prediction
    from twinserve_loadtest.record.testset import TestSet

DRAIN_SECONDS = 10.0
"""After the end of its schedule an open loop may still send what is overdue for this long."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send."""

    indices: npt.NDArray[np.int64]
    tensors: dict[str, Any]
    """The batch, as ``Client.predict`` takes it: ``images``, or ``inputs`` by name."""
    due: float
    """Seconds after the start of the block; 0 in a closed loop: at once."""
    server: int = 0
    """Whose turn it is. Both variants meet the same server with the same request."""


class BlockRun:
    """The state of one block in this process.

    Args:
        spec: What to do.
        test_set: Where the images and labels come from.
        share: Which part of the block this process carries.
        users: How many of the block's users run in this process.
        servers: The addresses of the servers, which take turns.
    """

    def __init__(
        self, spec: BlockSpec, test_set: TestSet, share: Share, users: int, servers: Sequence[str] = ("",)
    ) -> None:
        self.spec = spec
        self.record = BlockRecord(spec)
        self.watch = GeneratorWatch()
        self.started = Event()
        self.finished = Event()
        self._test_set = test_set
        self._share = share
        self._waiting_for = users
        self._active = 0
        self._next = share.index
        self._start = 0.0
        self._last_end = 0.0
        self._last_send = 0.0
        self._servers = tuple(servers)
        self._failing_since: dict[int, float] = {}
        self._kept = Kept(Path(spec.keep_outputs), len(test_set)) if spec.keep_outputs else None
        self._arrivals: npt.NDArray[np.float64] | None = None
        if spec.mode == "accuracy":
            self._order = np.arange(len(test_set))
        elif spec.first_image is not None:
            self._order = np.roll(np.arange(len(test_set)), -spec.first_image)
        else:
            self._order = shuffled(len(test_set), spec.seed)
        if spec.rate is not None:
            arrivals = poisson_arrivals(spec.rate, spec.seed, seconds=spec.seconds, requests=spec.requests)
            self._arrivals = arrivals
            self.record.scheduled = len(range(share.index, len(arrivals), share.count))
            self.record.schedule_seconds = spec.seconds or float(arrivals[-1])
        if spec.variant is not None:
            self._tally(spec.variant)

    def join(self) -> None:
        """A user is connected and warm; the last one to report this starts the clock for all."""
        self._active += 1
        self._waiting_for -= 1
        if self._waiting_for <= 0:
            self.begin()
        self.started.wait()

    def begin(self) -> None:
        """Start the clock, for the users that are there."""
        if not self.started.is_set():
            self._waiting_for = 0
            self.watch.start()
            self._start = time.perf_counter()
            self.started.set()

    def leave(self) -> None:
        """A user is done; the last one ends the block."""
        self._active -= 1
        if self._active <= 0 and self._waiting_for <= 0:
            self.end()

    def end(self, aborted: str = "") -> None:
        """Close the block; what is still in flight is not counted."""
        if self.finished.is_set():
            return
        self.record.aborted = self.record.aborted or aborted
        if self.started.is_set():
            self.record.reading = self.watch.stop()
            self._measure_time()
            if self._arrivals is not None:
                self.record.dropped = len(range(self._next, len(self._arrivals), self._share.count))
        self.started.set()
        self.finished.set()

    def snapshot(self) -> BlockRecord:
        """The record so far; the final one once ``finished`` is set."""
        if self.started.is_set() and not self.finished.is_set():
            self.record.reading = self.watch.read()
            self._measure_time()
        return self.record

    def elapsed(self) -> float:
        """Seconds since the start of the block."""
        return time.perf_counter() - self._start

    def next_request(self) -> Request | None:
        """The next request for the user that asks; None when the block has no more."""
        number, spec = self._next, self.spec
        if self.finished.is_set() or self.record.aborted or (spec.requests is not None and number >= spec.requests):
            return None
        due = 0.0
        if self._arrivals is not None:
            if number >= len(self._arrivals) or self.elapsed() > self.record.schedule_seconds + DRAIN_SECONDS:
                return None
            due = float(self._arrivals[number])
        elif spec.seconds is not None and self.elapsed() >= spec.seconds:
            return None
        self._next += self._share.count
        return self._request(number, due)

    def warm_up_request(self, number: int) -> Request:
        """A request that is not part of the block."""
        return self._request(number, 0.0)

    def sending(self, request: Request, *, waited: bool) -> float:
        """Note that ``request`` is sent now; returns the moment its latency counts from (s after start)."""
        now = self.elapsed()
        self._last_send = now
        if self._arrivals is None:
            return now
        if waited:
            self.watch.sent(int((now - request.due) * 1e6))
        else:
            self.record.backlogged += 1
        return request.due

    def answered(self, request: Request, since: float, prediction: Prediction) -> int:
        """Count an answer; returns its latency in µs."""
        now = self.elapsed()
        latency_us = int((now - since) * 1e6)
        if self.finished.is_set():  # cut off: what was still in flight is not counted
            return latency_us
        self._last_end = now
        self._failing_since.pop(request.server, None)
        labels = self._test_set.labels[request.indices].tolist() if len(self._test_set.labels) else []
        if self._kept is not None:
            self._kept.put(request.indices, prediction.outputs)
        tally = self._tally(self.name_of(prediction))
        tally.answered(request.indices, labels, prediction, latency_us, self._servers[request.server])
        return latency_us

    def name_of(self, prediction: Prediction) -> str:
        """Whom an answer is counted for: who was asked, else who answered."""
        if self.spec.variant is not None:
            return self.spec.variant
        return f"{prediction.variant}{AT}{prediction.version}" if self.spec.by_version else prediction.variant

    def failed(self, request: Request, since: float, code: str) -> int:
        """Count a failure; returns the time it took in µs. Gives the block up when a server answers nothing."""
        now = self.elapsed()
        if not self.finished.is_set():
            self._last_end = now
            server = self._servers[request.server]
            self._tally(self.spec.variant or ROUTED).failed(code, server)
            if now - self._failing_since.setdefault(request.server, now) > self.spec.give_up:
                where = f" by {server}" if len(self._servers) > 1 else ""
                self.record.aborted = (
                    f"no request was answered{where} for {self.spec.give_up:g} s (last status: {code})"
                )
        return int((now - since) * 1e6)

    def _tally(self, variant: str) -> Tally:
        tally = self.record.tallies.get(variant)
        if tally is None:
            tally = Tally(
                len(self._test_set),
                keep_probabilities=self.spec.keep_probabilities,
            )
            self.record.tallies[variant] = tally
        return tally

    def _request(self, number: int, due: float) -> Request:
        batch = self.spec.batch
        if self.spec.mode == "accuracy":
            indices = self._order[number * batch : (number + 1) * batch]
        else:
            indices = indices_of(number, batch, self._order)
        return Request(indices, self._test_set.request(indices), due, number % len(self._servers))

    def _measure_time(self) -> None:
        self.record.seconds = self._last_end
        if self._arrivals is not None:
            self.record.send_seconds = max(self.record.schedule_seconds, self._last_send)
