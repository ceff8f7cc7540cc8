"""Whether a caller that stopped waiting did so because its deadline passed."""

from __future__ import annotations

import time

from twinserve_server.errors import CancelledError, DeadlineError, TwinserveError


def is_past_deadline(remaining: float, elapsed: float) -> bool:
    """Whether an RPC that its caller ended ended by its deadline.

    On the wire both look alike, and the caller's deadline comes before the server's view of it: gRPC rounds the timeout
    that it sends up (by at most 1 %), and counts it anew from the request's arrival, so the way here comes on top. A
    caller that hangs up within the last twentieth of its time is taken to have run out of it.

    Args:
        remaining: seconds until the deadline, as the server sees it.
        elapsed: seconds since the request arrived.
    """
    return remaining <= 0.05 * (elapsed + remaining) + 0.002


def why_gone(started_ns: int, deadline_ns: int) -> TwinserveError:
    """Why a caller stopped waiting for what it asked at ``started_ns``."""
    now_ns = time.monotonic_ns()
    if deadline_ns and is_past_deadline((deadline_ns - now_ns) / 1e9, (now_ns - started_ns) / 1e9):
        return DeadlineError("the deadline passed")
    return CancelledError("the caller went away")


def gone_code(why: TwinserveError) -> str:
    """The status of an RPC that its caller ended."""
    return "DEADLINE_EXCEEDED" if isinstance(why, DeadlineError) else "CANCELLED"
