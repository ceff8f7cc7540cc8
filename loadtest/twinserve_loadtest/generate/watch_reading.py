"""What the generator used and how late it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from twinserve_loadtest.record.percentiles import new_histogram
from twinserve_loadtest.record.wire import Histogram


@dataclass(slots=True)
class WatchReading:
    """What the generator used and how late it was, over one block or several."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the generating process, or of the busiest one when there are several."""
    machine_busy_seconds: float = 0.0
    """Sum over all cores of the generator's machine."""
    cores: int = 1
    timer_lateness: Histogram = field(default_factory=new_histogram)
    """How late a 10 ms timer fired, µs."""
    send_lateness: Histogram = field(default_factory=new_histogram)
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
