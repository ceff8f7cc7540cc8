"""Whether a caller that stopped waiting did so because its deadline passed."""

from __future__ import annotations


def is_past_deadline(remaining: float, elapsed: float) -> bool:
    """Whether an RPC that its caller ended ended by its deadline.

    The caller's deadline comes before the server's view of it: gRPC rounds the timeout that it sends up, by at most
    1 % (``grpc-timeout`` carries two to three digits), and the end travels over the network too.

    Args:
        remaining: seconds until the deadline, as the server sees it.
        elapsed: seconds since the request arrived.
    """
    return remaining <= 0.01 * (elapsed + remaining) + 0.002
