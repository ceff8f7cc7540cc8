"""Whatever a handler raises becomes one status with details. Nothing leaves as UNKNOWN."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from twinserve_server.errors import InvalidInputError, TwinserveError, UnauthenticatedError
from twinserve_server.rpc.handler import Handler
from twinserve_server.rpc.status import message_of, rich_status, status_of

log = structlog.get_logger()

#: The metadata key under which gRPC clients look for a ``google.rpc.Status``.
DETAILS_KEY = "grpc-status-details-bin"
#: The metadata key that names the request an RPC made, as logs and traces name it.
REQUEST_ID_KEY = "x-request-id"

#: As HTTP says what it wants (RFC 6750): gRPC has no word of its own for it.
CHALLENGE = ("www-authenticate", 'Bearer realm="twinserve"')

Metadata = tuple[tuple[str, str | bytes], ...]


class ErrorInterceptor:
    """Parses requests and maps errors, by the table in ``status.py``."""

    def wrap(self, handler: Handler) -> Handler:
        """``handler`` with bytes in and statuses out."""
        behaviour, parse = handler.behaviour, _parser(handler)
        streaming = handler.request_streaming

        async def answer(raw: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await behaviour(_parse_all(raw, parse) if streaming else parse(raw), context)
            except TwinserveError as error:
                await abort(context, error)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                log.exception("handler_failed", service=handler.service, method=handler.method)
                await abort(context, error)

        async def generate(raw: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                async for response in behaviour(_parse_all(raw, parse) if streaming else parse(raw), context):
                    yield response
            except TwinserveError as error:
                await abort(context, error)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                log.exception("handler_failed", service=handler.service, method=handler.method)
                await abort(context, error)

        return handler.around(generate if handler.generates else answer)


def _parser(handler: Handler) -> Callable[[bytes], Any]:
    parse = handler.parse
    if parse is None:
        return lambda raw: raw

    def checked(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            raise InvalidInputError(
                f"the request is not a message that {handler.service}/{handler.method} takes ({len(raw)} bytes)"
            ) from None

    return checked


async def _parse_all(raw: AsyncIterator[bytes], parse: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for message in raw:
        yield parse(message)


def outcome_of(error: BaseException, request_id: str = "") -> tuple[grpc.StatusCode, str, Metadata]:
    """The status, message and trailing metadata of an RPC that ``error`` ended."""
    metadata: Metadata = ((REQUEST_ID_KEY, request_id),) if request_id else ()
    if isinstance(error, TwinserveError):
        details = (DETAILS_KEY, rich_status(error).SerializeToString())
        if isinstance(error, UnauthenticatedError):
            metadata = (CHALLENGE, *metadata)
        return status_of(error), message_of(error), (details, *metadata)
    return grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause", metadata


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> None:
    """End an RPC with the status of ``error``; always raises."""
    code, message, metadata = outcome_of(error)
    # What is given to abort() replaces what the handler has set: its request's name.
    await context.abort(code, message, (*(context.trailing_metadata() or ()), *metadata))
