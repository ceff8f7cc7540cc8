"""Every error that the server raises on purpose. One table (``rpc.status``) maps them to gRPC statuses."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Self

_SHORT = reprlib.Repr()
_SHORT.maxstring = 128
_SHORT.maxlist = 8


def shown(value: str | list[int] | list[str]) -> str:
    """``repr(value)``, shortened for a message: callers may send text of any length."""
    return _SHORT.repr(value)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that broke a rule: which, and how (value and limit included)."""

    field: str
    description: str


class TwinserveError(Exception):
    """The base class of every error that the server raises on purpose."""

    #: Names the kind in logs, metrics and the ``reason`` of the gRPC error details.
    reason = "INTERNAL"
    #: Seconds after which a retry makes sense; None: the default of the kind.
    retry_after: float | None = None

    def __init__(self, message: str, *violations: FieldViolation) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations


class InvalidInputError(TwinserveError):
    """The request itself is wrong, whatever the state of the server."""

    reason = "INVALID_INPUT"

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """One violated field; the message repeats it for clients that do not read details."""
        return cls(f"{field}: {description}", FieldViolation(field, description))


class OutOfRangeError(InvalidInputError):
    """A value is outside the range in the model's manifest."""

    reason = "OUT_OF_RANGE"


class ForeignRequestError(InvalidInputError):
    """A request id was altered, or signed with an unknown key."""

    reason = "FOREIGN_REQUEST_ID"


class UnknownModelError(TwinserveError):
    """No such model or variant is served here."""

    reason = "UNKNOWN_MODEL"


class UnknownRequestError(TwinserveError):
    """Feedback names a request that was never answered here, or is no longer remembered."""

    reason = "UNKNOWN_REQUEST"


class RepeatedFeedbackError(TwinserveError):
    """Feedback for this request has already been counted."""

    reason = "REPEATED_FEEDBACK"


class ConflictError(TwinserveError):
    """The state that a conditional change expects has changed."""

    reason = "CONFLICT"


class FollowsFileError(TwinserveError):
    """The server reads this from a file; calls cannot change it."""

    reason = "FOLLOWS_FILE"


class PreconditionError(TwinserveError):
    """The server is not in the required state; the message says what to do first."""

    reason = "PRECONDITION"


class QueueFullError(TwinserveError):
    """The variant's queue is full; try again later."""

    reason = "QUEUE_FULL"


class DeadlineUnreachableError(TwinserveError):
    """The variant's queue is so long that the deadline would pass in it; try again later."""

    reason = "DEADLINE_UNREACHABLE"


class ModelUnavailableError(TwinserveError):
    """The model process died or is not ready; the request may be retried."""

    reason = "MODEL_UNAVAILABLE"


class DrainingError(TwinserveError):
    """The server is shutting down; another one may answer."""

    reason = "DRAINING"


class DeadlineError(TwinserveError):
    """The caller's deadline passed before the request could run; it was not run."""

    reason = "DEADLINE_PASSED"


class IdleCallError(TwinserveError):
    """The caller sent nothing, or took no answer, for longer than the server allows."""

    reason = "IDLE_CALL"


class CancelledError(TwinserveError):
    """The caller left before the request could run; it was not run."""

    reason = "CANCELLED"


class InferenceError(TwinserveError):
    """The forward pass of the batch failed."""

    reason = "INFERENCE_FAILED"


class UnauthenticatedError(TwinserveError):
    """The caller sent no token, or an unknown one."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(TwinserveError):
    """The caller's token is valid, but its role does not allow this."""

    reason = "PERMISSION_DENIED"


class ArtefactError(TwinserveError):
    """A manifest or an artefact is missing or malformed, or does not match its hash."""

    reason = "BAD_ARTEFACT"
