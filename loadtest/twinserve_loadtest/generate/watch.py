"""The generator monitors itself: a figure limited by the generator instead of the server is marked invalid."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
import psutil

from twinserve_loadtest.generate.watch_reading import WatchReading

if TYPE_CHECKING:
    from gevent import Greenlet

TICK_SECONDS = 0.01


class GeneratorWatch:
    """Measures the process it runs in, from :meth:`start` to :meth:`stop`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._reading = WatchReading()
        self._ticker: Greenlet | None = None
        self._began = 0.0
        self._cpu = 0.0
        self._machine = 0.0

    def start(self) -> None:
        """Begin a new reading."""
        self._reading = WatchReading(cores=psutil.cpu_count() or 1)
        self._began, self._cpu, self._machine = time.perf_counter(), self._cpu_seconds(), _machine_busy_seconds()
        self._ticker = gevent.spawn(self._tick)

    def stop(self) -> WatchReading:
        """The reading, with the time used since :meth:`start`."""
        if self._ticker is not None:
            self._ticker.kill(block=False)
            self._ticker = None
        return self.read()

    def read(self) -> WatchReading:
        """The reading so far."""
        reading = self._reading
        reading.seconds = time.perf_counter() - self._began
        reading.cpu_seconds = self._cpu_seconds() - self._cpu
        reading.machine_busy_seconds = _machine_busy_seconds() - self._machine
        return reading

    def sent(self, lateness_us: int) -> None:
        """Count the lateness of one scheduled request that had a free connection."""
        self._reading.send_lateness.record_value(max(1, lateness_us))

    def _tick(self) -> None:
        late = self._reading.timer_lateness
        while True:
            due = time.perf_counter() + TICK_SECONDS
            gevent.sleep(TICK_SECONDS)
            late.record_value(max(1, int((time.perf_counter() - due) * 1e6)))

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def _machine_busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
