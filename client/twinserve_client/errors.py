"""What the SDK raises, and when.

::

    TwinserveError
    ├── ConfigurationError        an argument of the client itself is wrong (also ValueError)
    ├── ClientClosedError         the client was used after close() (also RuntimeError)
    ├── LabelsUnknownError        class names were asked for that the server did not tell (also LookupError)
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
ABORTED               ConflictError                a conditional change met another state
FAILED_PRECONDITION   ConflictError                the state of the server does not allow it
UNAUTHENTICATED       UnauthenticatedError         no token, or one that is not known
PERMISSION_DENIED     PermissionDeniedError        the token's role does not allow it
RESOURCE_EXHAUSTED    OverloadedError              the queue is full, or a message is too large
UNAVAILABLE           UnavailableError             no server, or one that restarts; retries are used up
DEADLINE_EXCEEDED     DeadlineExceededError        no answer within the timeout, retries included
CANCELLED             CallCancelledError           the caller cancelled; by the server: UnavailableError
UNIMPLEMENTED         UnimplementedError           the server does not know the method
INTERNAL              InternalError                the server failed; its log has the cause
UNKNOWN               InternalError                an answer that names no cause
DATA_LOSS             InternalError                an answer that cannot be read
===================== ============================ ======================================================

An input that is wrong whatever the server says (no array, an empty one, an unknown dtype) raises
InvalidInputError before anything is sent.
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
    """The root of everything that the SDK raises on purpose."""


class ConfigurationError(TwinserveError, ValueError):
    """An argument of the client itself is wrong: target, TLS files, retry policy."""


class ClientClosedError(TwinserveError, RuntimeError):
    """The client was used after it was closed."""


class LabelsUnknownError(TwinserveError, LookupError):
    """The class names of a prediction are not known, because the server did not describe its model."""


class CallError(TwinserveError):
    """A call failed.

    Attributes:
        message: what the server (or gRPC) says about it.
        code: the gRPC status.
        violations: the fields that are wrong, where the server names them.
        reason: the kind of error in the server's own terms, such as ``QUEUE_FULL``; empty when unknown.
        retry_after: seconds after which another attempt makes sense, when the server says so.
        request_id: the id under which the server logged the request; empty when unknown.
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
        # Load generators send errors between processes; keyword-only arguments need help there.
        state = {key: value for key, value in self.__dict__.items() if key != "message"}
        return type(self), (self.message,), state


class InvalidInputError(CallError, ValueError):
    """The request itself is wrong; sending it again cannot help."""

    @classmethod
    def of(cls, field: str, description: str) -> InvalidInputError:
        """One violated field, found before anything was sent."""
        violation = FieldViolation(field, description)
        return cls(f"{field}: {description}", code=grpc.StatusCode.INVALID_ARGUMENT, violations=(violation,))


class NotFoundError(CallError, LookupError):
    """The server has no such model, variant or request id."""


class AlreadyExistsError(CallError):
    """It was already done: feedback is counted once."""


class ConflictError(CallError):
    """The server's state is another one than the request expects."""


class PartlyAppliedError(CallError):
    """A change reached some of several servers and not the others.

    Attributes:
        applied: what each server answered that took it, by address.
        failed: why the others did not.
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
    """The server wants a token, or does not know this one."""


class PermissionDeniedError(CallError):
    """The token is known, but its role does not allow this."""


class OverloadedError(CallError):
    """The server refuses work for now; see ``retry_after``."""


class UnavailableError(CallError, ConnectionError):
    """No server answered, or it is restarting, also after the retries."""


class DeadlineExceededError(CallError, TimeoutError):
    """The timeout passed before the answer came."""


class CallCancelledError(CallError):
    """The call was cancelled."""


class UnimplementedError(CallError):
    """The server does not know this method; it may be older than the SDK."""


class InternalError(CallError):
    """The server failed, or its answer cannot be read."""


_Code = grpc.StatusCode

#: The table above, for programs.
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
