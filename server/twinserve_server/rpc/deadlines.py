"""Whether a caller stopped waiting because its deadline passed."""

from __future__ import annotations

import time

from twinserve_server.errors import CancelledError, DeadlineError, TwinserveError


def is_past_deadline(remaining: float, elapsed: float) -> bool:
    """Whether an RPC that was ended by its caller ended because of its deadline.

    The two look alike on the wire, and the caller's deadline passes before the server's: gRPC rounds up the timeout it
    sends (by at most 1 %), and the server counts it from the request's arrival, so network delay is added. A caller
    that hangs up within the last twentieth of its timeout counts as having reached its deadline.

    Args:
        remaining: seconds until the deadline, as the server sees it.
        elapsed: seconds since the request arrived.
    """
    return remaining <= 0.05 * (elapsed + remaining) + 0.002


def why_gone(started_ns: int, deadline_ns: int) -> TwinserveError:
    """Why a caller stopped waiting for the request that it sent at ``started_ns``."""
    now_ns = time.monotonic_ns()
    if deadline_ns and is_past_deadline((deadline_ns - now_ns) / 1e9, (now_ns - started_ns) / 1e9):
        return DeadlineError("the deadline passed")
    return CancelledError("the caller left")


def gone_code(why: TwinserveError) -> str:
    """The status of an RPC that its caller ended."""
    return "DEADLINE_EXCEEDED" if isinstance(why, DeadlineError) else "CANCELLED"
