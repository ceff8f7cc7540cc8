"""How fast a variant answers: whether a deadline can be met, and when a refused caller should try again."""

from __future__ import annotations

from typing import Final

from twinserve_server.errors import DeadlineUnreachableError

#: The fraction of its remaining time that a request may be expected to wait. The rest is for its batch, for the way
#: back, and for errors of the estimate.
WAIT_SHARE: Final = 0.5
#: When a refused caller should retry; longer, the more requests are refused per answered one.
RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 2.0
#: The weight of a new batch's time in the average, and the factor by which a tick (0.1 s) reduces the counts.
_NEW: Final = 0.25
_KEPT: Final = 0.9


class Pace:
    """The throughput of one variant in one gateway."""

    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        #: Mean time from sending a batch to its answer.
        self._batch_ns = 0.0
        #: Of the last second, about.
        self._answered = self._refused = 0.0

    def answered(self, images: int, took_ns: int) -> None:
        """A batch of ``images`` came back after ``took_ns``."""
        self._batch_ns += _NEW * (took_ns - self._batch_ns) if self._batch_ns else took_ns
        self._answered += images

    def check(self, waiting: int, links: int, deadline_ns: int, now_ns: int) -> None:
        """Check that a request's deadline can be met with ``waiting`` images ahead of it.

        A queue shorter than a batch never refuses a request, so that a wrong estimate is soon corrected.

        Raises:
            DeadlineUnreachableError: its deadline would pass in the queue.
        """
        if not deadline_ns or waiting < self._max_batch_size or not links:
            return
        wait_ns = waiting / self._max_batch_size * self._batch_ns / links
        if wait_ns > WAIT_SHARE * (deadline_ns - now_ns):
            raise DeadlineUnreachableError(
                f"{(deadline_ns - now_ns) / 1e6:.0f} ms are left until the deadline, and {waiting} images are "
                f"already waiting, which take about {wait_ns / 1e6:.0f} ms; try again later"
            )

    def refused(self) -> float:
        """A request was refused; returns the seconds after which its caller should try again."""
        self._refused += 1
        return min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * (1 + self._refused / max(1.0, self._answered)))

    def tick(self) -> None:
        """Let counts decay, several times a second."""
        self._answered *= _KEPT
        self._refused *= _KEPT
