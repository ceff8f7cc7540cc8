"""Whether a process is alive: it sends heartbeats, and has hung if they stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Until a process is ready, loading may hold the GIL for minutes.
STARTING_SECONDS: Final = 600.0
#: A batch that takes this long is logged, then again whenever its time has doubled.
SLOW_BATCH_SECONDS: Final = 10.0

#: Why a process was restarted.
ENDED: Final = "ended"
HUNG: Final = "hung"
SLOW_BATCH: Final = "slow_batch"
REASONS: Final = (ENDED, HUNG, SLOW_BATCH)


@dataclass(slots=True)
class Pulse:
    """How long a process has sent no heartbeat, and how long its batch has taken.

    Silence is counted in ticks, not by the clock: a supervisor that was itself suspended heard nobody in that time.

    Attributes:
        hang_seconds: seconds without a heartbeat after which a ready process counts as hung; 0 for never.
        batch_seconds: the longest forward pass; 0 for no limit.
    """

    hang_seconds: float
    batch_seconds: float
    silent_seconds: float = 0.0
    busy_seconds: float = 0.0
    _told_seconds: float = SLOW_BATCH_SECONDS

    def restart(self) -> None:
        """A process starts."""
        self.silent_seconds = self.busy_seconds = 0.0
        self._told_seconds = SLOW_BATCH_SECONDS

    def heard(self, busy_seconds: float) -> bool:
        """A heartbeat arrived; returns whether its batch is slow enough to be logged now."""
        self.silent_seconds = 0.0
        if busy_seconds < self.busy_seconds:
            self._told_seconds = SLOW_BATCH_SECONDS
        self.busy_seconds = busy_seconds
        if busy_seconds < self._told_seconds:
            return False
        self._told_seconds = 2 * busy_seconds
        return True

    def tick(self, seconds: float, *, ready: bool) -> str:
        """Count ``seconds``; returns why the process must be replaced (``HUNG``, ``SLOW_BATCH``), or ""."""
        self.silent_seconds += seconds
        limit = self.hang_seconds if ready else max(self.hang_seconds, STARTING_SECONDS)
        if self.hang_seconds and self.silent_seconds > limit:
            return HUNG
        if self.batch_seconds and self.busy_seconds > self.batch_seconds:
            return SLOW_BATCH
        return ""
