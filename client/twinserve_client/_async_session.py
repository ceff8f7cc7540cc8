"""How ``AsyncClient`` sends its calls: the asyncio counterpart of ``_session``, for one event loop at a time."""

# ruff: noqa: ASYNC109  (a timeout here is gRPC's deadline, which the server sees too; asyncio.timeout is not)

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from typing import Any, TypeVar

import grpc

from twinserve_client import _stream
from twinserve_client._calls import Call, Calls, DescribeFirst, bind
from twinserve_client._channel import Connection, Metadata
from twinserve_client._fleet import in_turn, settled
from twinserve_client._retry import pause_when_refused
from twinserve_client._status import error_of_rpc
from twinserve_client._tracing import Tracing
from twinserve_client._waiting import Deadline
from twinserve_client.errors import CallError, ClientClosedError, ConfigurationError, InvalidInputError, OverloadedError
from twinserve_client.types import Prediction

T = TypeVar("T")


class AsyncSession:
    """One connection, bound to the event loop that uses it."""

    def __init__(self, connection: Connection, calls: Calls, timeout: float | None) -> None:
        """``timeout``: seconds for the SDK's own calls, such as fetching class names during a stream."""
        self._connection = connection
        self._metadata = connection.metadata
        self._members: dict[str, AsyncSession] = {}
        self._calls = calls
        self._timeout = timeout
        self._tracing = Tracing.of(connection.target)
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._naming = asyncio.Lock()
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    async def run(self, call: Call[T], seconds: float | None, *, wait_for_ready: bool | None = None) -> T:
        """Send one call and return its decoded response; see :meth:`Session.run`."""
        if not self._connection.retry_exhausted:
            return await self._attempt(call, seconds, wait_for_ready)
        deadline = Deadline(seconds)
        while True:
            try:
                return await self._attempt(call, deadline.left(), wait_for_ready)
            except OverloadedError as error:
                if (pause := pause_when_refused(call.method, error, deadline.left())) is None:
                    raise
            await asyncio.sleep(pause)

    async def _attempt(self, call: Call[T], seconds: float | None, wait_for_ready: bool | None) -> T:
        if self._tracing is None:
            return await self._send(call, seconds, self._metadata, wait_for_ready)
        with self._traced(call.method) as metadata:
            return await self._send(call, seconds, metadata, wait_for_ready)

    async def ask(self, make: Callable[[bool], Call[T]], deadline: Deadline) -> T:
        try:
            call = make(False)
        except DescribeFirst:
            with suppress(CallError):
                await self.run(self._calls.describe_model(), deadline.left())
            call = make(True)
        try:
            return await self.run(call, deadline.left())
        except InvalidInputError:
            self._calls.doubt()
            raise

    async def each(self, make: Callable[[str], Call[T]], deadline: Deadline, by: str = "") -> dict[str, T | CallError]:
        outcomes: dict[str, T | CallError] = {}
        connections = await asyncio.to_thread(self._connection.members)  # it may ask for names
        for server, connection in in_turn(connections, by):
            if connection is not self._connection and server not in self._members:
                self._members[server] = AsyncSession(connection, self._calls, self._timeout)
            try:
                outcomes[server] = await self._members.get(server, self).run(make(server), deadline.left())
            except CallError as error:
                outcomes[server] = error
            if by and settled(outcomes[server]):
                break
        return outcomes

    async def stream(
        self,
        images: Any,
        encode: Callable[[Any, bool], Any],
        max_in_flight: int,
        on_error: _stream.OnError,
        timeout: float | None,
    ) -> AsyncGenerator[Prediction | CallError, None]:

        async def prepared(item: Any) -> Any:
            try:
                return encode(item, False)
            except DescribeFirst:
                with suppress(CallError):
                    await self.run(self._calls.describe_model(), self._timeout)
                return encode(item, True)

        feed = _stream.AsyncFeed(images, max_in_flight, prepared)
        with self._traced("PredictStream") as metadata:
            rpc = self._method("PredictStream")(timeout=timeout, metadata=metadata)
            async with aclosing(feed.outcomes(rpc, self._calls.prediction, Deadline(timeout))) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, Prediction):
                        await self.learn_names(outcome, Deadline(self._timeout))
                    elif on_error == "raise":
                        raise outcome
                    yield outcome

    async def learn_names(self, prediction: Prediction, deadline: Deadline) -> None:
        if not self._calls.lacks_names(prediction):
            return
        async with self._naming:
            # What the active version's description does not tell, that of the version that answered does.
            for version in (None, prediction.version):
                if not self._calls.lacks_names(prediction) or (left := deadline.left()) == 0:
                    return
                try:
                    await self.run(self._calls.describe_model(version), left)
                except CallError as error:
                    self._calls.keeps_names_secret(prediction, error)

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._closed = True
        self._methods = {}
        for member in self._members.values():
            await member.close()
        channel, self._channel = self._channel, None
        # A loop that has ended took its channel with it.
        if channel is not None and self._loop is asyncio.get_running_loop():
            await channel.close()

    async def _send(
        self, call: Call[T], seconds: float | None, metadata: Metadata | None, wait_for_ready: bool | None
    ) -> T:
        method = self._method(call.method)
        try:
            response = await method(call.request, timeout=seconds, metadata=metadata, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            raise error_of_rpc(error, call.request_id) from error
        except (asyncio.CancelledError, grpc.aio.UsageError):
            # Closing cancels calls in flight; that must not look like cancellation of the caller's task.
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise _closed() from None
        return call.decode(response)

    def _method(self, name: str) -> Any:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._belong_to(loop)
        if not self._methods:
            if self._closed:
                raise _closed()
            # Not earlier: a channel belongs to the running event loop.
            self._channel = self._connection.open_async()
            self._methods = bind(self._channel)
        return self._methods[name]

    def _belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Switch to ``loop`` if the previous event loop is closed.

        Raises:
            ConfigurationError: the previous loop is still open.
        """
        if self._loop is not None and not self._loop.is_closed() and self._methods:
            raise ConfigurationError(
                "this AsyncClient belongs to another event loop, which is still open; make one client for each loop"
            )
        self._loop, self._channel, self._methods, self._naming = loop, None, {}, asyncio.Lock()

    def _traced(self, method: str) -> AbstractContextManager[Metadata | None]:
        if self._tracing is None:
            return nullcontext(self._metadata)
        return self._tracing.span(method, self._metadata)


def _closed() -> ClientClosedError:
    return ClientClosedError("the client is closed; make a new one")
