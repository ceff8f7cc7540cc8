"""Deadlines, and waiting for a server to be ready."""

from __future__ import annotations

import time
from typing import Final

import grpc

from twinserve_client.errors import CallError, DeadlineExceededError, UnavailableError
from twinserve_client.types import ModelInfo

#: Timeout of one attempt; short, so that a hung server is asked again.
_ATTEMPT_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05


class Deadline:
    """A timeout shared by several calls; None for ``seconds`` means no limit."""

    __slots__ = ("_started", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._started = time.monotonic()

    def left(self) -> float | None:
        """Seconds left, at least 0; None if there is no limit."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (time.monotonic() - self._started))


class Readiness:
    """Decides how long ``wait_until_ready`` continues; the clients only call and sleep."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._missing = "no answer"
        self._cause: CallError | None = None

    def waiting(self) -> bool:
        """Whether there is time for another attempt."""
        return self._deadline.left() != 0

    @property
    def attempt_seconds(self) -> float:
        """The timeout of the next attempt."""
        return self._at_most(_ATTEMPT_SECONDS)

    @property
    def pause_seconds(self) -> float:
        """The wait between two attempts."""
        return self._at_most(_PAUSE_SECONDS)

    def _at_most(self, seconds: float) -> float:
        left = self._deadline.left()
        return seconds if left is None else min(seconds, left)

    def failed(self, error: CallError) -> None:
        """Record why an attempt failed.

        Raises:
            CallError: waiting longer cannot help.
        """
        if not isinstance(error, UnavailableError | DeadlineExceededError):
            raise error
        self._missing, self._cause = error.message, error

    def described(self, info: ModelInfo) -> bool:
        """Whether ``info`` shows every variant as ready."""
        cold = [variant.name for variant in info.variants if not variant.ready]
        self._missing, self._cause = f"not ready yet: {', '.join(cold)}", None
        return not cold

    def timed_out(self, target: str) -> DeadlineExceededError:
        """The error after the last attempt."""
        error = DeadlineExceededError(
            f"{target} is not ready after {self._timeout:g} s: {self._missing}",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
        )
        error.__cause__ = self._cause
        return error
