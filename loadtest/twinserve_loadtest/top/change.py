"""What changed between two readings of the metrics of one server, or of several together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.target.metrics import MetricsPage

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics at one moment."""

    page: MetricsPage
    #: By ``time.monotonic()``.
    at: float


class Change:
    """Counters between two readings of each server, summed over the servers.

    Args:
        servers: the readings before and after, of each.
    """

    def __init__(self, servers: Iterable[tuple[Reading, Reading]]) -> None:
        self._servers = list(servers)
        self.now = MetricsPage([sample for _, after in self._servers for sample in after.page.samples])
        """The second readings as one page: what is summed on it is summed over the servers."""
        self.seconds = max((after.at - before.at for before, after in self._servers), default=0.0) or 1e-9

    def of(self, name: str, **labels: str) -> float:
        """How much a counter grew; all of it where the server is a new one."""
        total = 0.0
        for before, after in self._servers:
            now, then = after.page.sum(name, **labels) or 0.0, before.page.sum(name, **labels) or 0.0
            total += now - then if now >= then else now
        return total

    def rate(self, name: str, **labels: str) -> float:
        """Growth a second."""
        return self.of(name, **labels) / self.seconds

    def each(self, name: str, **labels: str) -> list[float]:
        """The value at the second reading, of every server that tells it."""
        values = (after.page.sum(name, **labels) for _, after in self._servers)
        return [value for value in values if value is not None]

    def count(self, name: str) -> int:
        """How many series of a name there are."""
        return sum(sample.name == name for sample in self.now.samples)

    def latency(self, routes: Iterable[str], **labels: str) -> dict[float, float]:
        """The latency histogram of the requests in between: cumulative counts by upper bound."""
        total: dict[float, float] = {}
        name = "twinserve_request_duration_seconds_bucket"
        for route in routes:
            for before, after in self._servers:
                then = before.page.by_label(name, "le", route=route, **labels)
                for bound, count in after.page.by_label(name, "le", route=route, **labels).items():
                    grown = count - then.get(bound, 0.0)
                    total[float(bound)] = total.get(float(bound), 0.0) + (grown if grown >= 0 else count)
        return total
