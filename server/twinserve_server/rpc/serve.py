"""The wrapper around every RPC answered by a coroutine: counting, journal, parsing, and mapping errors to statuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc

from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.auth import Admit
from twinserve_server.rpc.callback import DirectMethod, DirectStream
from twinserve_server.rpc.deadlines import is_past_deadline
from twinserve_server.rpc.method import RpcMethod, parse_message
from twinserve_server.rpc.status import outcome_of, status_of
from twinserve_server.structured_log import structlog

Context = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger()

#: If a stream's caller leaves, grpc.aio's handlers see the same as if it had sent everything, until they are cancelled
#: a few milliseconds later.
SETTLE_SECONDS: Final = 0.01


class RpcTally(Protocol):
    """Counts the RPCs of one method."""

    def started(self, count: int = 1) -> None:
        """An RPC began, or ``count`` of them."""

    def handled(self, code: str, seconds: float) -> None:
        """An RPC ended with the gRPC status named ``code``."""


class Journal(Protocol):
    """Keeps a record of each RPC, for logs and traces."""

    def begin(self, method: RpcMethod, context: Context, /) -> Any:
        """An RPC arrived; its record."""

    def end(self, record: Any, code: str, seconds: float, /) -> None:
        """It ended with the gRPC status named ``code``, which is not sent yet."""


@dataclass(frozen=True, slots=True)
class RpcHandler:
    """What a transport needs of one method.

    Attributes:
        method: names and streaming.
        handle: from the encoded request (or an async iterator of them) to the response; writes those of a stream. The
            status is set in the context; it raises only when the caller is gone.
        tally: counts the RPCs that a transport answers by ``direct``.
        direct: the same method without coroutines; such a transport asks ``admit``, counts and maps errors itself, by
            the same rules.
        admit: looks at the metadata of a call before its message is parsed; None: anybody may call.
    """

    method: RpcMethod
    handle: Callable[[Any, Any], Awaitable[Any]]
    tally: RpcTally
    direct: DirectMethod | DirectStream | None = None
    admit: Admit | None = None

    def count_unread(self, error: TwinserveError, seconds: float) -> None:
        """Count a call that ``error`` ended before its one message came: ``handle``, which counts, was not called. A
        call with a stream of messages is counted from its beginning."""
        if not self.method.request_streaming:
            self.tally.started()
            self.tally.handled(status_of(error).name, seconds)


def serve(method: RpcMethod, tally: RpcTally, journal: Journal | None = None, admit: Admit | None = None) -> RpcHandler:
    """``method`` as a transport serves it.

    Args:
        method: what is served.
        tally: counts each RPC once, under the status its caller sees.
        journal: records each RPC; None for no records.
        admit: returns why a caller may not call; None admits everyone.
    """
    behaviour, generates = method.behaviour, method.generates
    read = _parse_each if method.request_streaming else _parse

    async def handle(raw: Any, context: Context) -> Any:
        started = time.perf_counter()
        tally.started()
        record = None if journal is None else journal.begin(method, context)
        code = "OK"
        try:
            if admit is not None:
                _check(admit, context)
            if not generates:
                return await behaviour(read(method, raw), context)
            async with aclosing(behaviour(read(method, raw), context)) as responses:
                async for response in responses:
                    await _write(context, response)
            if method.request_streaming:
                await asyncio.sleep(SETTLE_SECONDS)
        except asyncio.CancelledError:
            remaining, elapsed = context.time_remaining(), time.perf_counter() - started
            gone = remaining is None or not is_past_deadline(remaining, elapsed)
            code = "CANCELLED" if gone else "DEADLINE_EXCEEDED"
            raise
        except grpc.aio.AbortError as error:
            # One of gRPC's own servicers has ended the RPC; the context keeps the error, and with it these frames.
            error.__traceback__ = error.__context__ = None
            code = _name(context.code())
        except Exception as error:
            if not isinstance(error, TwinserveError):
                log.exception("handler_failed", service=method.service, method=method.name)
            code = _refuse(context, error)
        finally:
            seconds = time.perf_counter() - started
            tally.handled(code, seconds)
            if journal is not None:
                journal.end(record, code, seconds)
        return None

    return RpcHandler(method, handle, tally, method.direct if journal is None else None, admit)


def encoded(response: Any) -> bytes:
    """A response as bytes, which some methods make themselves."""
    if isinstance(response, bytes):
        return response
    data: bytes = response.SerializeToString()
    return data


def _check(admit: Admit, context: Context) -> None:
    if (refusal := admit(context.invocation_metadata() or ())) is not None:
        raise refusal


def _parse(method: RpcMethod, raw: bytes) -> Any:
    return raw if method.parse is None else parse_message(method.parse, f"{method.service}/{method.name}", raw)


async def _parse_each(method: RpcMethod, raw: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for message in raw:
        yield _parse(method, message)


async def _write(context: Context, response: Any) -> None:
    message = encoded(response)
    try:
        await context.write(message)
    except grpc.aio.BaseError:
        # The caller has gone, but its task is not cancelled yet.
        raise asyncio.CancelledError from None


def _refuse(context: Context, error: Exception) -> str:
    """End the RPC with the status of ``error``; its name."""
    # Its frames hold the request, and some the error: a cycle that keeps both until garbage collection.
    error.__traceback__ = None
    code, message, metadata = outcome_of(error)
    context.set_code(code)
    context.set_details(message)
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), *metadata))
    return code.name


def _name(code: Any) -> str:
    """The name of a status that gRPC gives as its enumeration or as a number."""
    found = next((known for known in grpc.StatusCode if code in (known, known.value[0])), grpc.StatusCode.INTERNAL)
    return found.name
