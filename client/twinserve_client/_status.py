"""A failed RPC, or an error on a stream, as the exception that stands for it."""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

import grpc

from twinserve_client.errors import ERROR_OF_STATUS, CallError, FieldViolation, InternalError

#: Trailing metadata under which the server repeats the id of the request.
REQUEST_ID_KEY: Final = "x-request-id"

#: How gRPC says that this side cancelled a call, or closed its channel.
_CANCELLED_HERE: Final = ("Locally cancelled", "Channel closed", "Channel deallocated")

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class FailedCall(Protocol):
    """What grpc and grpc.aio say about a failed call."""

    def code(self) -> grpc.StatusCode | None:
        """The status."""

    def details(self) -> str | None:
        """The status message."""

    def trailing_metadata(self) -> Any:
        """Pairs of key and value, or None."""


def error_of_rpc(error: grpc.RpcError, request_id: str = "") -> CallError:
    """The exception for a failed RPC, with the details of its ``google.rpc.Status`` when the server sent one.

    Args:
        error: what grpc (or grpc.aio) raised.
        request_id: the id that the request carried, if any; the one the server sent back goes first.
    """
    call = cast("FailedCall", error)
    code = call.code() or grpc.StatusCode.UNKNOWN
    message = call.details() or code.name
    if code is grpc.StatusCode.CANCELLED and not message.startswith(_CANCELLED_HERE):
        # A server that ends a call which its caller still wants goes away.
        code, message = grpc.StatusCode.UNAVAILABLE, "the server ended the call without an answer"
    trailing = call.trailing_metadata() or ()
    answered_id = next((str(value) for key, value in trailing if key == REQUEST_ID_KEY), request_id)
    return ERROR_OF_STATUS.get(code, InternalError)(message, code=code, request_id=answered_id, **_details(call))


def error_of_code(number: int, message: str, request_id: str = "") -> CallError:
    """The exception for the error of one request on a stream; ``number`` is a ``google.rpc.Code``."""
    code = _CODES.get(number, grpc.StatusCode.UNKNOWN)
    return ERROR_OF_STATUS.get(code, InternalError)(message, code=code, request_id=request_id)


def _details(call: FailedCall) -> dict[str, Any]:
    """BadRequest, ErrorInfo and RetryInfo out of the rich status, where they are."""
    # Only a failed call pays for these imports.
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    try:
        status = rpc_status.from_call(call)
    except ValueError:  # the status and its details contradict each other: the status alone counts
        return {}
    found: dict[str, Any] = {}
    for detail in status.details if status is not None else ():
        bad_request = error_details_pb2.BadRequest()
        retry, info = error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
        if detail.Unpack(bad_request):
            found["violations"] = tuple(
                FieldViolation(violation.field, violation.description) for violation in bad_request.field_violations
            )
        elif detail.Unpack(retry):
            found["retry_after"] = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(info):
            found["reason"] = info.reason
    return found
