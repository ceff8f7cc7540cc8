"""How requests spread over several servers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(slots=True)
class ServerShare:
    """What one server did with the requests that were sent to it. Sums only, so that shares add up."""

    #: Sent, failed ones included.
    requests: int = 0
    #: By gRPC status.
    failures: Counter[str] = field(default_factory=Counter)
    #: Summed latency of those answered, µs.
    latency_sum_us: int = 0

    @property
    def answered(self) -> int:
        """Requests with an answer."""
        return self.requests - self.failures.total()

    @property
    def mean_us(self) -> float | None:
        """Mean latency; None when nothing was answered."""
        return self.latency_sum_us / self.answered if self.answered else None

    def add(self, other: ServerShare) -> None:
        """Add another worker's, block's or variant's share of the same server."""
        self.requests += other.requests
        self.failures.update(other.failures)
        self.latency_sum_us += other.latency_sum_us


def summed(shares: Iterable[Mapping[str, ServerShare]]) -> dict[str, ServerShare]:
    """Shares by server, added up."""
    total: dict[str, ServerShare] = {}
    for part in shares:
        for server, share in part.items():
            total.setdefault(server, ServerShare()).add(share)
    return total


def silent(servers: Mapping[str, ServerShare]) -> dict[str, ServerShare]:
    """Those that were sent requests and answered none."""
    return {server: share for server, share in servers.items() if share.requests and not share.answered}
