"""The one table that maps the core's errors to gRPC statuses, and their details (google.rpc)."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from twinserve_server.core import errors

STATUS: dict[type[errors.TwinserveError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownModelError: grpc.StatusCode.NOT_FOUND,
    errors.UnknownRequestError: grpc.StatusCode.NOT_FOUND,
    errors.RepeatedFeedbackError: grpc.StatusCode.ALREADY_EXISTS,
    errors.ConflictError: grpc.StatusCode.ABORTED,
    errors.QueueFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ModelUnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DrainingError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.CancelledError: grpc.StatusCode.CANCELLED,
    errors.InferenceError: grpc.StatusCode.INTERNAL,
}

#: After how long a client may try again what is refused for now.
RETRY_AFTER_SECONDS: dict[type[errors.TwinserveError], float] = {
    errors.QueueFullError: 0.1,
    errors.ModelUnavailableError: 0.05,
    errors.DrainingError: 0.5,
}

DOMAIN = "twinserve"


def status_of(error: errors.TwinserveError) -> grpc.StatusCode:
    """The gRPC status of ``error``."""
    return STATUS.get(type(error), grpc.StatusCode.INTERNAL)


def rich_status(error: errors.TwinserveError) -> status_pb2.Status:
    """``error`` as ``google.rpc.Status``: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=status_of(error).value[0], message=error.message)
    details: list[error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=item.field, description=item.description)
                    for item in error.violations
                ]
            )
        )
    if (after := RETRY_AFTER_SECONDS.get(type(error))) is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
