"""RPCs of all other methods on a completion queue: a coroutine each, with the context that grpc.aio would give it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc._cython.cygrpc import (
    ReceiveCloseOnServerOperation,
    ReceiveMessageOperation,
    SendInitialMetadataOperation,
    SendMessageOperation,
    SendStatusFromServerOperation,
)

from twinserve_server.errors import IdleCallError
from twinserve_server.rpc.serve import RpcHandler, encoded
from twinserve_server.rpc.status import NO_REQUEST, outcome_of
from twinserve_server.structured_log import structlog
from twinserve_server.transport.fast.calls import NO_DEADLINE, cancel, ignore, peer_of, status
from twinserve_server.transport.fast.queue import QueueLoop
from twinserve_server.transport.idle import IdleCalls, Turns

log = structlog.get_logger()


class CoroutineCall(Turns):
    """One RPC, and its context."""

    def __init__(
        self, handler: RpcHandler, loop: QueueLoop, idle: IdleCalls, running: set[CoroutineCall], event: Any
    ) -> None:
        super().__init__(idle)
        self._handler = handler
        self._loop = loop
        self._running = running
        self._call = event.call
        self._metadata = event.invocation_metadata
        self._deadline: float = event.call_details.deadline
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: tuple[tuple[str, str | bytes], ...] = ()
        self._opened = self._ended = self._gone = False
        self._started = time.monotonic()
        #: Why it was ended while its client was idle.
        self._expired = ""
        running.add(self)
        self._start((ReceiveCloseOnServerOperation(0),), self._on_close)
        self._task: asyncio.Task[None] | None = asyncio.ensure_future(self._run())

    async def write(self, message: Any) -> None:
        """Send one response message."""
        self.sends()
        await self._batch(SendMessageOperation(encoded(message), 0))
        self.has_sent()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()
    ) -> None:
        """End the RPC with an error; always raises."""
        self._code, self._details = code, details
        self._trailing = tuple(trailing_metadata) or self._trailing
        await self._finish()
        raise grpc.aio.AbortError("aborted")

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status to end with."""
        self._code = code

    def set_details(self, details: str) -> None:
        """The message of the status."""
        self._details = details

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Metadata to send with the status."""
        self._trailing = tuple(metadata)

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata set so far."""
        return self._trailing

    def code(self) -> grpc.StatusCode | None:
        """The status set so far."""
        return self._code

    def details(self) -> str:
        """The message set so far."""
        return self._details

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: there is none."""
        return None if self._deadline > NO_DEADLINE else max(0.0, self._deadline - time.time())

    def invocation_metadata(self) -> Any:
        """What the caller sent along."""
        return self._metadata

    def peer(self) -> str:
        """The caller's address."""
        return peer_of(self._call)

    def caller(self) -> str:
        return self.peer()

    def expire(self, error: IdleCallError) -> None:
        if self._sending:
            cancel(self._call, error)
            self._loop.soon()
        elif not self._ended:
            self._expired, self._ended = error.message, True
            self._start((*self._opening(), status(*outcome_of(error))), ignore)
            self._handler.count_unread(error, time.monotonic() - self._started)

    async def _run(self) -> None:
        method = self._handler.method
        try:
            if method.request_streaming:
                request: Any = self._messages()
            elif (request := await self._receive()) is None:
                if self._expired:
                    return
                self._code, self._details = NO_REQUEST
                await self._finish()
                return
            await self._finish(await self._handler.handle(request, self))
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            if not self._gone:
                raise
        except Exception:
            log.exception("response_failed", service=method.service, method=method.name)
            self._code, self._details = grpc.StatusCode.INTERNAL, "the response could not be sent"
            await self._finish()

    async def _messages(self) -> AsyncIterator[bytes]:
        while (raw := await self._receive()) is not None:
            yield raw
        if self._expired:
            raise IdleCallError(self._expired)

    async def _receive(self) -> bytes | None:
        self.reads()
        operations = await self._batch(ReceiveMessageOperation(0), opens=False)
        message: bytes | None = operations[0].message()
        self.has_read(message is not None)
        return None if self._expired else message

    async def _finish(self, response: Any = None) -> None:
        if self._ended or self._gone:
            return
        self._ended = True
        code = self._code or grpc.StatusCode.OK
        end = SendStatusFromServerOperation(self._trailing, code.value[0], self._details.encode(), 0)
        if response is None or code is not grpc.StatusCode.OK:
            await self._batch(end)
        else:
            self.sends()
            await self._batch(SendMessageOperation(encoded(response), 0), end)

    def _opening(self) -> tuple[Any, ...]:
        """What goes before anything else that is sent."""
        if self._opened:
            return ()
        self._opened = True
        return (SendInitialMetadataOperation((), 0),)

    async def _batch(self, *operations: Any, opens: bool = True) -> Any:
        if opens:
            operations = (*self._opening(), *operations)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def complete(event: Any) -> None:
            if not done.done():
                # Not the event, which refers to this function: a cycle that would hold the message.
                done.set_result(event.batch_operations)

        self._start(operations, complete)
        return await done

    def _start(self, operations: tuple[Any, ...], tag: Any) -> None:
        self._call.start_server_batch(operations, tag)
        self._loop.soon()

    def _on_close(self, event: Any) -> None:
        self._running.discard(self)
        self.is_over()
        # The journal's record, in the task's context, refers to this call: as a cycle it would wait for the garbage
        # collector, and gRPC core counts a call as open on its connection until it is released.
        task, self._task = self._task, None
        if event.batch_operations[0].cancelled() and task is not None:
            self._gone = True
            task.cancel()
