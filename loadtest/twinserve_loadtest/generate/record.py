"""The outcome of a block of load, and how blocks and workers are merged."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twinserve_loadtest.generate.recorder import Tally
from twinserve_loadtest.generate.spec import ROUTED, BlockSpec
from twinserve_loadtest.generate.watch_reading import WatchReading

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class BlockRecord:
    """One block, or several of the same kind merged; tallies lie by the variant that answered."""

    spec: BlockSpec
    tallies: dict[str, Tally] = field(default_factory=dict)
    warm_ups: int = 0
    """Requests before the clock, in no other figure; the server has counted them."""
    seconds: float = 0.0
    """First send (open loop: start of the schedule) to last answer."""
    schedule_seconds: float = 0.0
    """Open loop: length of the schedule."""
    send_seconds: float = 0.0
    """Open loop: length of the schedule, or start to last send when that is longer."""
    scheduled: int = 0
    """Open loop: arrivals of the schedule."""
    dropped: int = 0
    """Open loop: arrivals that were never sent."""
    backlogged: int = 0
    """Open loop: arrivals that found every connection busy; their wait counts as latency."""
    reading: WatchReading = field(default_factory=WatchReading)
    aborted: str = ""
    """Why the block ended before its time; empty when it did not."""
    blocks: int = 1
    cpu_seconds: float | None = None
    """Of the variant's model processes, warm-ups included; None: nobody told, or several variants answered."""
    gateway_cpu_seconds: float | None = None
    """Likewise of the gateways."""
    joules: float | None = None
    """Of the whole machine; None: not known, or several variants answered."""

    def tally(self, variant: str | None = None) -> Tally:
        """The tally of ``variant``; without one, of the variant that the block was for.

        Raises:
            KeyError: that variant answered nothing and nothing was asked of it.
        """
        return self.tallies[variant or self.spec.variant or ROUTED]

    @property
    def requests(self) -> int:
        """Requests sent, over all variants."""
        return sum(tally.requests for tally in self.tallies.values())

    @property
    def achieved_rate(self) -> float:
        """Open loop: requests sent per second of the schedule."""
        return (self.scheduled - self.dropped) / self.send_seconds if self.send_seconds else 0.0

    @property
    def offered_rate(self) -> float:
        """Open loop: arrivals per second of the schedule."""
        return self.scheduled / self.schedule_seconds if self.schedule_seconds else 0.0

    def add_parallel(self, other: BlockRecord) -> None:
        """Add the share of another worker of the same block."""
        self._add_counts(other)
        self.seconds = max(self.seconds, other.seconds)
        self.schedule_seconds = max(self.schedule_seconds, other.schedule_seconds)
        self.send_seconds = max(self.send_seconds, other.send_seconds)
        self.reading.add_parallel(other.reading)

    def add_following(self, other: BlockRecord) -> None:
        """Add a later block of the same mode and variant."""
        self._add_counts(other)
        self.seconds += other.seconds
        self.schedule_seconds += other.schedule_seconds
        self.send_seconds += other.send_seconds
        self.reading.add_following(other.reading)
        self.blocks += other.blocks
        self.cpu_seconds = _sum(self.cpu_seconds, other.cpu_seconds)
        self.gateway_cpu_seconds = _sum(self.gateway_cpu_seconds, other.gateway_cpu_seconds)
        self.joules = _sum(self.joules, other.joules)

    def _add_counts(self, other: BlockRecord) -> None:
        for variant, tally in other.tallies.items():
            self.tallies.setdefault(variant, Tally(tally.images_in_set)).merge(tally)
        self.warm_ups += other.warm_ups
        self.scheduled += other.scheduled
        self.dropped += other.dropped
        self.backlogged += other.backlogged
        self.aborted = self.aborted or other.aborted


def _sum(one: float | None, other: float | None) -> float | None:
    return one + other if one is not None and other is not None else None


def merged(records: Iterable[BlockRecord], *, parallel: bool) -> BlockRecord:
    """A fresh record of all ``records``: workers of one block (``parallel``), or blocks one after another.

    Raises:
        ValueError: there is no record.
    """
    total: BlockRecord | None = None
    for record in records:
        if total is None:
            total = deepcopy(record)
        elif parallel:
            total.add_parallel(record)
        else:
            total.add_following(record)
    if total is None:
        raise ValueError("nothing to merge")
    return total
