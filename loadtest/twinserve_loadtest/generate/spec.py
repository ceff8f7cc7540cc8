"""The specification of a bounded block of load; independent of Locust and gevent."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_loadtest.record.terms import Scenario

ROUTED = "(router)"
"""Stands for the variant of a request that named none and was not answered."""


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block of load on one variant.

    The classmethods build the shapes that answer a question; see ``docs/loadtest.md``.
    """

    mode: Scenario
    variant: str | None
    """None: the request names no variant and the server's router decides."""
    users: int
    """Locust users: connections, and the most requests in flight."""
    batch: int = 1
    """Images a request."""
    seconds: float | None = None
    """No request starts (open loop: is scheduled) later than this after the block's start."""
    requests: int | None = None
    """No more requests than this."""
    rate: float | None = None
    """Open loop: arrivals per second, Poisson."""
    seed: int = 0
    """Draws the arrivals and the order of the images."""
    first_image: int | None = None
    """Take the images in the test set's order from here, not in an order drawn by the seed."""
    warm_up: int = 0
    """Requests of each user before the clock starts; not recorded."""
    timeout: float = 5.0
    """Deadline of a request in seconds."""
    give_up: float = 5.0
    """The block ends when requests fail and none is answered for this many seconds."""
    keep_probabilities: bool = False
    """Return the last answer's probabilities for each image of the test set."""
    keep_outputs: str = ""
    """Of a model without classes: the folder where the last answer's tensors for each item go; empty: nowhere."""
    by_version: bool = False
    """Where the router decides: tell the versions of a variant apart, as ``int8@1`` and ``int8@2``."""

    def __post_init__(self) -> None:
        for name in ("users", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 1 is needed")
        if self.seconds is None and self.requests is None:
            raise ValueError("a block needs an end: seconds, requests, or both")
        for name in ("seconds", "requests", "rate", "timeout", "give_up"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}: it must be above 0")

    @classmethod
    def accuracy(cls, variant: str, images: int, *, batch: int = 64, users: int = 2) -> BlockSpec:
        """Every test image once, in the test set's order, in batches."""
        requests = -(-images // batch)
        return cls("accuracy", variant, users, batch, requests=requests, timeout=30.0)

    @classmethod
    def single_stream(
        cls, variant: str, *, seconds: float | None = None, requests: int | None = None, seed: int = 0
    ) -> BlockSpec:
        """One image a request, one request in flight."""
        return cls("single-stream", variant, 1, seconds=seconds, requests=requests, seed=seed, warm_up=20)

    @classmethod
    def closed(cls, variant: str, users: int, *, seconds: float, batch: int = 1, seed: int = 0) -> BlockSpec:
        """``users`` requests always in flight."""
        return cls("closed", variant, users, batch, seconds=seconds, seed=seed, warm_up=10)

    @classmethod
    def open(cls, variant: str, rate: float, *, seconds: float, seed: int = 0) -> BlockSpec:
        """A Poisson stream of ``rate`` single images a second, however fast the answers come."""
        users = open_loop_users(rate)
        return cls("open", variant, users, seconds=seconds, rate=rate, seed=seed, warm_up=3)

    @classmethod
    def offline(cls, variant: str, *, seconds: float, batch: int = 64, users: int = 2, seed: int = 0) -> BlockSpec:
        """Batches as fast as they are answered, the next one always waiting."""
        return cls("offline", variant, users, batch, seconds=seconds, seed=seed, warm_up=10, timeout=30.0)

    @classmethod
    def mixed(cls, rate: float, *, seconds: float, seed: int = 0, by_version: bool = False) -> BlockSpec:
        """As the open loop, but the router decides which variant answers."""
        users = open_loop_users(rate)
        return cls("mixed", None, users, seconds=seconds, rate=rate, seed=seed, warm_up=3, by_version=by_version)


def open_loop_users(rate: float) -> int:
    """Connections for an open loop: enough for answers of 50 ms, at least 16, at most 128.

    When more requests than that are in flight, an arrival waits for a free connection, and its wait
    counts as latency (which runs from the intended send).
    """
    return min(128, max(16, round(rate * 0.05)))
