"""The generator watches itself: when it, not the server, set a figure, that figure is marked invalid."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gevent
import psutil
from hdrh.histogram import HdrHistogram

from twinserve_loadtest.percentiles import new_histogram

if TYPE_CHECKING:
    from gevent import Greenlet

TICK_SECONDS = 0.01


@dataclass(slots=True)
class WatchReading:
    """What the generator used and how late it was, over one block or several."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the generating process, or of the busiest one when there are several."""
    machine_busy_seconds: float = 0.0
    """Sum over all cores of the generator's machine."""
    cores: int = 1
    timer_lateness: HdrHistogram = field(default_factory=new_histogram)
    """How late a 10 ms timer fired, µs."""
    send_lateness: HdrHistogram = field(default_factory=new_histogram)
    """Open loop: actual - intended send of requests that had a free connection, µs."""

    @property
    def cpu_share(self) -> float:
        """Of one core; Python's generator cannot use much more than 1.0."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0

    @property
    def machine_cpu_share(self) -> float:
        """Of all cores, 0..1."""
        return min(1.0, self.machine_busy_seconds / (self.seconds * self.cores)) if self.seconds else 0.0

    def add_following(self, other: WatchReading) -> None:
        """Add a later block of the same generator."""
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.machine_busy_seconds += other.machine_busy_seconds
        self.cores = max(self.cores, other.cores)
        self._add_lateness(other)

    def add_parallel(self, other: WatchReading) -> None:
        """Add a process that ran beside this one: the busiest decides."""
        busiest = max(self, other, key=lambda reading: reading.cpu_share)
        self.seconds, self.cpu_seconds = busiest.seconds, busiest.cpu_seconds
        self.machine_busy_seconds, self.cores = busiest.machine_busy_seconds, busiest.cores
        self._add_lateness(other)

    def _add_lateness(self, other: WatchReading) -> None:
        self.timer_lateness.add(other.timer_lateness)
        self.send_lateness.add(other.send_lateness)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for Locust's messages and for JSON."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "machine_busy_seconds": self.machine_busy_seconds,
            "cores": self.cores,
            "timer_lateness": self.timer_lateness.encode().decode("ascii"),
            "send_lateness": self.send_lateness.encode().decode("ascii"),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WatchReading:
        """The reverse of :meth:`to_dict`."""
        late = {name: HdrHistogram.decode(values[name]) for name in ("timer_lateness", "send_lateness")}
        return cls(**{**values, **late})


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
