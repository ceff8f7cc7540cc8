"""Maps every error to an HTTP status and ``{"error": …}``, by one table."""

from __future__ import annotations

from typing import Final

import grpc

from twinserve_client import CallError, TwinserveError

#: By gRPC status; anything else is 500.
STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class RequestError(Exception):
    """The HTTP request itself is wrong; the message names the field, its value and what is wanted."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def status_of(error: TwinserveError) -> int:
    """The HTTP status of an error of the SDK."""
    if isinstance(error, CallError):
        return STATUS.get(error.code, 500)
    return 400 if isinstance(error, ValueError) else 500


def message_of(error: TwinserveError) -> str:
    """What to tell the caller."""
    return error.message if isinstance(error, CallError) else str(error)
