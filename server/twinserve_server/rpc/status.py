"""The one table that maps the server's errors to gRPC statuses and details (google.rpc). None maps to UNKNOWN."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from twinserve_server import errors

STATUS: dict[type[errors.TwinserveError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    errors.ForeignRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownModelError: grpc.StatusCode.NOT_FOUND,
    errors.UnknownRequestError: grpc.StatusCode.NOT_FOUND,
    errors.RepeatedFeedbackError: grpc.StatusCode.ALREADY_EXISTS,
    errors.ConflictError: grpc.StatusCode.ABORTED,
    errors.FollowsFileError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ArtefactError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineUnreachableError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ModelUnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.IdleCallError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.CancelledError: grpc.StatusCode.CANCELLED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.InferenceError: grpc.StatusCode.INTERNAL,
}

#: How long a client should wait before it retries a temporarily refused request.
RETRY_AFTER_SECONDS: dict[type[errors.TwinserveError], float] = {
    errors.QueueFullError: 0.1,
    errors.DeadlineUnreachableError: 0.1,
    errors.ModelUnavailableError: 0.05,
    errors.DrainingError: 0.5,
}

#: What a unary call without a message gets, as gRPC's own table of statuses has it.
NO_REQUEST = grpc.StatusCode.UNIMPLEMENTED, "the method takes one request message; the call came without any"

DOMAIN = "twinserve"
#: The metadata key under which gRPC clients look for a ``google.rpc.Status``.
DETAILS_KEY = "grpc-status-details-bin"
#: The metadata key for the id of an RPC's request, as in logs and traces.
REQUEST_ID_KEY = "x-request-id"
#: The metadata key under which gRPC's own retries look for how long to wait, in milliseconds (gRFC A6).
PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: The header in which HTTP says what it requires (RFC 6750); gRPC has none of its own.
CHALLENGE = ("www-authenticate", 'Bearer realm="twinserve"')
#: A request id stays in logs and in memory for a while.
MAX_ID_BYTES = 128

Metadata = tuple[tuple[str, str | bytes], ...]

#: Status and details travel as gRPC metadata, of which every client accepts 8 KiB, encoded: anything longer arrives as
#: RESOURCE_EXHAUSTED, whatever the status was.
MAX_TEXT_BYTES = 1024
#: A request that breaks more rules than this is told of the first ones; a violation holds two short texts at most.
MAX_VIOLATIONS = 4
MAX_VIOLATION_BYTES = 256


def status_of(error: errors.TwinserveError) -> grpc.StatusCode:
    """The gRPC status of ``error``."""
    return STATUS.get(type(error), grpc.StatusCode.INTERNAL)


def outcome_of(error: BaseException, request_id: str = "") -> tuple[grpc.StatusCode, str, Metadata]:
    """The status, message and trailing metadata of an RPC that ``error`` ended."""
    name = name_of_request(request_id)
    if isinstance(error, errors.UnauthenticatedError):
        name = (CHALLENGE, *name)
    if isinstance(error, errors.TwinserveError):
        details, code = (DETAILS_KEY, rich_status(error).SerializeToString()), status_of(error)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (after := retry_after(error)) is not None:
            name = ((PUSHBACK_KEY, str(round(after * 1e3))), *name)
        return code, message_of(error), (details, *name)
    return grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause", name


def retry_after(error: errors.TwinserveError) -> float | None:
    """The seconds after which a client may try again; None if that would not help."""
    return error.retry_after if error.retry_after is not None else RETRY_AFTER_SECONDS.get(type(error))


def name_of_request(request_id: str) -> Metadata:
    """The metadata with a request's id; empty if the id cannot be sent as metadata."""
    fits = 0 < len(request_id) <= MAX_ID_BYTES and request_id.isascii() and request_id.isprintable()
    return ((REQUEST_ID_KEY, request_id),) if fits else ()


def message_of(error: errors.TwinserveError) -> str:
    """The message of ``error``, short enough to be sent."""
    return shortened(error.message, MAX_TEXT_BYTES)


def shortened(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` bytes of UTF-8: its beginning and its end, the field and what is wrong."""
    if len(text) * 4 <= limit or len(encoded := text.encode(errors="replace")) <= limit:
        return text
    half = (limit - len(" … ".encode())) // 2
    return f"{encoded[:half].decode(errors='ignore')} … {encoded[-half:].decode(errors='ignore')}"


def rich_status(error: errors.TwinserveError) -> status_pb2.Status:
    """``error`` as a ``google.rpc.Status``: always with ErrorInfo, with BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=status_of(error).value[0], message=message_of(error))
    details: list[error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=shortened(item.field, MAX_VIOLATION_BYTES),
                        description=shortened(item.description, MAX_VIOLATION_BYTES),
                    )
                    for item in error.violations[:MAX_VIOLATIONS]
                ]
            )
        )
    if (after := retry_after(error)) is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
