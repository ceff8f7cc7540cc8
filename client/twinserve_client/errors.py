"""What the SDK raises, and when.

::

    TwinserveError
    ├── ConfigurationError        an argument of the client itself is wrong (also ValueError)
    ├── ClientClosedError         the client was used after close() (also RuntimeError)
    ├── LabelsUnknownError        the server did not provide the class names (also LookupError)
    └── CallError                 a call failed; has code, message, violations, reason, retry_after, request_id
        ├── PartlyAppliedError    a change reached some of several servers; has applied and failed
        └── one class for each kind of gRPC status:

===================== ============================ ======================================================
status                exception                    typical cause
===================== ============================ ======================================================
INVALID_ARGUMENT      InvalidInputError            wrong shape or datatype, empty or oversized batch
OUT_OF_RANGE          InvalidInputError            a value outside its range
NOT_FOUND             NotFoundError                unknown model, variant or request id
ALREADY_EXISTS        AlreadyExistsError           feedback for this request was already counted
ABORTED               ConflictError                the state that a conditional change expects has changed
FAILED_PRECONDITION   ConflictError                the state of the server does not allow it
UNAUTHENTICATED       UnauthenticatedError         no token, or an unknown one
PERMISSION_DENIED     PermissionDeniedError        the token's role does not allow it
RESOURCE_EXHAUSTED    OverloadedError              the queue is full, or a message is too large
UNAVAILABLE           UnavailableError             no server, or it is restarting; retries are used up
DEADLINE_EXCEEDED     DeadlineExceededError        no answer within the timeout, retries included
CANCELLED             CallCancelledError           the caller cancelled; by the server: UnavailableError
UNIMPLEMENTED         UnimplementedError           the server does not know the method
INTERNAL              InternalError                the server failed; its log has the cause
UNKNOWN               InternalError                the server failed without naming a cause
DATA_LOSS             InternalError                the response cannot be decoded
===================== ============================ ======================================================

An input that no server would accept (not an array, an empty one, an unknown dtype) raises InvalidInputError
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that broke a rule (``google.rpc.BadRequest``): which, and how."""

    field: str
    description: str


class TwinserveError(Exception):
    """The base class of every exception that the SDK raises on purpose."""


class ConfigurationError(TwinserveError, ValueError):
    """An argument of the client itself is wrong: target, TLS files, retry policy."""


class ClientClosedError(TwinserveError, RuntimeError):
    """The client was used after it was closed."""


class LabelsUnknownError(TwinserveError, LookupError):
    """The class names of a prediction are unknown, because the server did not describe its model."""


class CallError(TwinserveError):
    """A call failed.

    Attributes:
        message: what the server (or gRPC) says about it.
        code: the gRPC status.
        violations: the invalid fields, if the server names them.
        reason: the server's own code for the kind of error, such as ``QUEUE_FULL``; empty if unknown.
        retry_after: seconds to wait before another attempt, if the server says so.
        request_id: the id under which the server logged the request; empty if unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        violations: Sequence[FieldViolation] = (),
        reason: str = "",
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.violations = tuple(violations)
        self.reason = reason
        self.retry_after = retry_after
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        # Load generators pickle errors between processes; keyword-only arguments need this.
        state = {key: value for key, value in self.__dict__.items() if key != "message"}
        return type(self), (self.message,), state


class InvalidInputError(CallError, ValueError):
    """The request itself is invalid; sending it again cannot help."""

    @classmethod
    def of(cls, field: str, description: str) -> InvalidInputError:
        """An error about one field, found before anything was sent."""
        violation = FieldViolation(field, description)
        return cls(f"{field}: {description}", code=grpc.StatusCode.INVALID_ARGUMENT, violations=(violation,))


class NotFoundError(CallError, LookupError):
    """The server has no such model, variant or request id."""


class AlreadyExistsError(CallError):
    """It has already been done: feedback counts only once."""


class ConflictError(CallError):
    """The server's state is not the one that the request expects."""


class PartlyAppliedError(CallError):
    """A change was applied by some of several servers but not by the others.

    Attributes:
        applied: the responses of the servers that applied it, by address.
        failed: the errors of the others, by address.
    """

    def __init__(
        self,
        message: str,
        *,
        applied: Mapping[str, Any] = MappingProxyType({}),
        failed: Mapping[str, CallError] = MappingProxyType({}),
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.applied = dict(applied)
        self.failed = dict(failed)


class UnauthenticatedError(CallError):
    """The server requires a token, or does not know this one."""


class PermissionDeniedError(CallError):
    """The token is valid, but its role does not allow this."""


class OverloadedError(CallError):
    """The server is refusing work for now; see ``retry_after``."""


class UnavailableError(CallError, ConnectionError):
    """No server answered, or it is restarting; retries did not help."""


class DeadlineExceededError(CallError, TimeoutError):
    """The timeout expired before the answer arrived."""


class CallCancelledError(CallError):
    """The call was cancelled."""


class UnimplementedError(CallError):
    """The server does not know this method; it may be older than the SDK."""


class InternalError(CallError):
    """The server failed, or its response cannot be decoded."""


_Code = grpc.StatusCode

#: The table above, as data.
ERROR_OF_STATUS: Final[Mapping[grpc.StatusCode, type[CallError]]] = MappingProxyType(
    {
        _Code.INVALID_ARGUMENT: InvalidInputError,
        _Code.OUT_OF_RANGE: InvalidInputError,
        _Code.NOT_FOUND: NotFoundError,
        _Code.ALREADY_EXISTS: AlreadyExistsError,
        _Code.ABORTED: ConflictError,
        _Code.FAILED_PRECONDITION: ConflictError,
        _Code.UNAUTHENTICATED: UnauthenticatedError,
        _Code.PERMISSION_DENIED: PermissionDeniedError,
        _Code.RESOURCE_EXHAUSTED: OverloadedError,
        _Code.UNAVAILABLE: UnavailableError,
        _Code.DEADLINE_EXCEEDED: DeadlineExceededError,
        _Code.CANCELLED: CallCancelledError,
        _Code.UNIMPLEMENTED: UnimplementedError,
        _Code.INTERNAL: InternalError,
        _Code.UNKNOWN: InternalError,
        _Code.DATA_LOSS: InternalError,
    }
)
