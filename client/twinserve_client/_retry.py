"""Retries: gRPC's own, configured by its service config.

gRPC retries below Python (gRFC A6): attempts share the call's deadline, back-off is exponential with jitter, and a
token bucket stops retries when the server fails most calls. UNAVAILABLE is retried, and so is a CANCELLED from the
server, which is how gRPC ends calls that arrive while a server shuts down. Only idempotent methods are retried, as
declared in the proto (``idempotency_level``). SendFeedback and SetTraffic change state: they are sent again only when
gRPC knows that the server never saw them.

Calls that an overloaded server refuses are retried only on request, by the SDK itself: until the call's deadline, where
gRPC gives up after five attempts, and never sooner than the server says.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor_pb2 import MethodOptions

from twinserve.v1 import admin_pb2, predict_pb2
from twinserve_client._arguments import number, shown
from twinserve_client.errors import ConfigurationError, OverloadedError

#: Idempotent methods, by service.
SAFE_METHODS: Final[dict[str, tuple[str, ...]]] = {
    service.full_name: tuple(
        method.name
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    )
    for file in (predict_pb2.DESCRIPTOR, admin_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
}

#: Round robin; a server whose health is not SERVING (starting or draining) is left out.
_BALANCING: Final = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}

#: gRPC's limit; more attempts are ignored.
MOST_ATTEMPTS: Final = 5

#: Below about 2 ms, gRPC 1.72 and later lose retries: the call hangs until its deadline (grpc/grpc issue 41036).
LEAST_BACKOFF: Final = 0.01

#: Jitter: clients that were refused together retry up to this share of the wait later, and so not together.
SPREAD: Final = 0.25
_SAFE: Final = frozenset(method for methods in SAFE_METHODS.values() for method in methods)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast a call that failed with UNAVAILABLE is retried.

    Attributes:
        max_attempts: including the first; 2 to 5 (gRPC's limit).
        initial_backoff: seconds before the second attempt, plus or minus jitter; at least 0.01.
        max_backoff: the longest wait, in seconds.
        backoff_multiplier: the factor by which the wait grows from one attempt to the next.
        throttle_tokens: size of the token bucket, 1 to 1000. Each failed call of this process to the target takes one
            token, each success returns ``throttle_ratio``; at half of them or fewer nothing is retried.
        throttle_ratio: tokens returned per success; above 0.
    """

    max_attempts: int = 4
    initial_backoff: float = 0.1
    max_backoff: float = 2.0
    backoff_multiplier: float = 3.0
    throttle_tokens: int = 1000
    throttle_ratio: float = 0.5

    def __post_init__(self) -> None:
        """Reject what gRPC would silently ignore.

        Raises:
            ConfigurationError: names the field, its value and the limits.
        """
        _within("max_attempts", self.max_attempts, 2, MOST_ATTEMPTS, whole=True)
        _within("initial_backoff", self.initial_backoff, LEAST_BACKOFF, 3600)
        _within("max_backoff", self.max_backoff, float(self.initial_backoff), 3600)
        _within("backoff_multiplier", self.backoff_multiplier, 1, 100)
        _within("throttle_tokens", self.throttle_tokens, 1, 1000, whole=True)
        _within("throttle_ratio", self.throttle_ratio, 0.001, 1000)


def retry_policy(retries: RetryPolicy | int | None) -> RetryPolicy | None:
    """``retries`` as a policy: a number is the attempts after the first; 0 and None turn retries off."""
    if retries is None or isinstance(retries, RetryPolicy):
        return retries
    _within("retries", retries, 0, MOST_ATTEMPTS - 1, whole=True)
    return RetryPolicy(max_attempts=int(retries) + 1) if retries else None


def pause_when_refused(method: str, error: OverloadedError, left: float | None) -> float | None:
    """Seconds to wait before a refused call is retried; None: it is not.

    Args:
        method: only those of ``SAFE_METHODS`` are retried.
        error: the refusal. One that does not say when to retry is final: a message that is too large never fits.
        left: seconds until the call's deadline; None: it has none.
    """
    if method not in _SAFE or error.retry_after is None or error.retry_after < 0:
        return None
    pause = max(LEAST_BACKOFF, error.retry_after) * random.uniform(1, 1 + SPREAD)  # noqa: S311
    return None if left is not None and pause >= left else pause


def service_config(policy: RetryPolicy | None, *, balanced: bool = False) -> str:
    """The gRPC service config, as JSON.

    Args:
        policy: the retry policy; None turns retries off.
        balanced: spread requests over all of the target's addresses whose health is SERVING.
    """
    config = {**(_BALANCING if balanced else {}), **(_retries(policy) if policy is not None else {})}
    return json.dumps(config)


def _retries(policy: RetryPolicy) -> dict[str, Any]:
    return {
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method}
                    for service, methods in SAFE_METHODS.items()
                    for method in methods
                ],
                "retryPolicy": {
                    "maxAttempts": int(policy.max_attempts),
                    "initialBackoff": _seconds(policy.initial_backoff),
                    "maxBackoff": _seconds(policy.max_backoff),
                    "backoffMultiplier": float(policy.backoff_multiplier),
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        "retryThrottling": {
            "maxTokens": int(policy.throttle_tokens),
            "tokenRatio": float(policy.throttle_ratio),
        },
    }


def _seconds(value: float) -> str:
    return f"{float(value):.9f}s"


def _within(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    found = number(value)
    if found is None or not low <= found <= high or (whole and not found.is_integer()):
        kind = "a whole number " if whole else ""
        raise ConfigurationError(f"{name}: {shown(value)} is not {kind}within {low:g}..{high:g}")
