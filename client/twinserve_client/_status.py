"""Map a failed RPC, or an error within a stream, to the SDK's exception."""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

import grpc

from twinserve_client.errors import ERROR_OF_STATUS, CallError, FieldViolation, InternalError

#: Trailing metadata key under which the server returns the request id.
REQUEST_ID_KEY: Final = "x-request-id"

#: Trailing metadata key under which gRPC servers say after how many milliseconds to retry (gRFC A6).
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"

#: gRPC's messages for a call cancelled, or a channel closed, on this side.
_CANCELLED_HERE: Final = ("Locally cancelled", "Channel closed", "Channel deallocated")

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class FailedCall(Protocol):
    """The interface that the errors of grpc and grpc.aio share."""

    def code(self) -> grpc.StatusCode | None:
        """The status."""

    def details(self) -> str | None:
        """The status message."""

    def trailing_metadata(self) -> Any:
        """Pairs of key and value, or None."""


def error_of_rpc(error: grpc.RpcError, request_id: str = "") -> CallError:
    """The exception for a failed RPC, with the details of its ``google.rpc.Status`` if the server sent one.

    Args:
        error: raised by grpc or grpc.aio.
        request_id: the id in the request, if any; one returned by the server takes precedence.
    """
    call = cast("FailedCall", error)
    code = call.code() or grpc.StatusCode.UNKNOWN
    message = call.details() or code.name
    if code is grpc.StatusCode.CANCELLED and not message.startswith(_CANCELLED_HERE):
        # A server that cancels a call whose caller is still waiting is shutting down.
        code, message = grpc.StatusCode.UNAVAILABLE, "the server ended the call without an answer"
    trailing = call.trailing_metadata() or ()
    answered_id = next((str(value) for key, value in trailing if key == REQUEST_ID_KEY), request_id)
    details = {"retry_after": _pushback(trailing), **_details(call)}
    return ERROR_OF_STATUS.get(code, InternalError)(message, code=code, request_id=answered_id, **details)


def error_of_code(number: int, message: str, request_id: str = "") -> CallError:
    """The exception for the error of one request on a stream; ``number`` is a ``google.rpc.Code``."""
    code = _CODES.get(number, grpc.StatusCode.UNKNOWN)
    return ERROR_OF_STATUS.get(code, InternalError)(message, code=code, request_id=request_id)


def _pushback(trailing: Any) -> float | None:
    """Seconds; None: the server does not say, or says not to retry."""
    found = next((str(value) for key, value in trailing if key == PUSHBACK_KEY), "")
    return int(found) / 1e3 if found.isascii() and found.isdigit() else None


def _details(call: FailedCall) -> dict[str, Any]:
    """BadRequest, ErrorInfo and RetryInfo from the rich status, as far as present."""
    # Imported here so that only failed calls pay for it.
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    try:
        status = rpc_status.from_call(call)
    except ValueError:  # status and details contradict each other: only the status counts
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
