"""The client for asyncio: the methods of ``Client``, awaited."""

# ruff: noqa: ASYNC109  (a timeout here is gRPC's deadline, which the server sees too; asyncio.timeout is not)

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import grpc
import numpy.typing as npt

from twinserve_client import _stream
from twinserve_client._calls import Call, Calls, bind
from twinserve_client._channel import TLS, Connection, Metadata, Option
from twinserve_client._retry import RetryPolicy
from twinserve_client._status import error_of_rpc
from twinserve_client._tracing import Tracing
from twinserve_client._waiting import Deadline, Readiness
from twinserve_client.client import DEFAULT_TARGET
from twinserve_client.errors import CallError, ClientClosedError
from twinserve_client.types import Feedback, ModelInfo, Prediction, ServerStatus, Traffic

T = TypeVar("T")


class AsyncClient:
    """A connection to a twinserve server for one event loop; use it as an asynchronous context manager.

    Takes the arguments of :class:`twinserve_client.Client` and raises the same errors. It may be made anywhere; it
    belongs to the event loop that runs its first call.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        model: str | None = None,
        timeout: float | None = 5.0,
        retries: RetryPolicy | int | None = RetryPolicy(),
        tls: TLS | None = None,
        token: str | None = None,
        metadata: Mapping[str, str] | None = None,
        isolated: bool = True,
        channel_options: Sequence[Option] = (),
    ) -> None:
        self._connection = Connection.of(
            target,
            retries=retries,
            tls=tls,
            token=token,
            metadata=metadata,
            isolated=isolated,
            channel_options=channel_options,
        )
        self._metadata = self._connection.metadata
        self._timeout = timeout
        self._calls = Calls(model)
        self._tracing = Tracing.of(target)
        self._naming = asyncio.Lock()
        self._closed = False
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    async def predict(
        self,
        images: npt.ArrayLike,
        *,
        variant: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Classify one or many images; see :meth:`Client.predict`."""
        deadline = Deadline(self._timeout if timeout is None else timeout)
        call = self._calls.predict(images, variant, routing_key, request_id)
        prediction = await self._run(call, deadline.seconds)
        await self._learn_names(prediction, deadline)
        return prediction

    @overload
    def predict_stream(
        self,
        images: Iterable[npt.ArrayLike] | AsyncIterable[npt.ArrayLike],
        *,
        variant: str | None = ...,
        routing_key: str | None = ...,
        max_in_flight: int = ...,
        on_error: Literal["raise"] = ...,
        timeout: float | None = ...,
    ) -> AsyncIterator[Prediction]: ...
    @overload
    def predict_stream(
        self,
        images: Iterable[npt.ArrayLike] | AsyncIterable[npt.ArrayLike],
        *,
        variant: str | None = ...,
        routing_key: str | None = ...,
        max_in_flight: int = ...,
        on_error: Literal["return"],
        timeout: float | None = ...,
    ) -> AsyncIterator[Prediction | CallError]: ...
    def predict_stream(
        self,
        images: Iterable[npt.ArrayLike] | AsyncIterable[npt.ArrayLike],
        *,
        variant: str | None = None,
        routing_key: str | None = None,
        max_in_flight: int = 64,
        on_error: _stream.OnError = "raise",
        timeout: float | None = None,
    ) -> AsyncIterator[Prediction | CallError]:
        """Classify many requests over one stream, in order; see :meth:`Client.predict_stream`.

        ``images`` may also be asynchronous. A loop that is left early should close the stream:
        ``async with contextlib.aclosing(client.predict_stream(…)) as answers``.
        """
        _stream.check_arguments(max_in_flight, on_error)
        encode = self._calls.stream_request(variant, routing_key)
        return self._stream(_stream.AsyncFeed(images, max_in_flight, encode), on_error, timeout)

    async def compare(
        self,
        images: npt.ArrayLike,
        variants: Sequence[str] | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Prediction]:
        """Run one input through several variants; see :meth:`Client.compare`."""
        deadline = Deadline(self._timeout if timeout is None else timeout)
        predictions = await self._run(self._calls.compare(images, variants, request_id), deadline.seconds)
        for prediction in predictions.values():
            await self._learn_names(prediction, deadline)
        return predictions

    async def send_feedback(
        self,
        request_id: str,
        labels: npt.ArrayLike,
        *,
        timeout: float | None = None,
    ) -> Feedback:
        """Tell the true classes of an earlier request; see :meth:`Client.send_feedback`."""
        return await self._call(self._calls.send_feedback(request_id, labels), timeout)

    async def describe_model(self, *, timeout: float | None = None) -> ModelInfo:
        """What is served; see :meth:`Client.describe_model`."""
        return await self._call(self._calls.describe_model(), timeout)

    async def wait_until_ready(self, timeout: float = 60.0) -> ModelInfo:
        """Wait until every variant is warm; see :meth:`Client.wait_until_ready`."""
        readiness = Readiness(timeout)
        while readiness.waiting():
            call = self._calls.describe_model()
            try:
                info = await self._run(call, readiness.attempt_seconds, wait_for_ready=True)
            except CallError as error:
                readiness.failed(error)
            else:
                if readiness.described(info):
                    return info
            await asyncio.sleep(readiness.pause_seconds)
        raise readiness.timed_out(self._connection.target)

    async def get_traffic(self, *, timeout: float | None = None) -> Traffic:
        """How requests that name no variant are shared."""
        return await self._call(self._calls.get_traffic(), timeout)

    async def set_traffic(
        self,
        weights: Mapping[str, float],
        *,
        shadows: Mapping[str, float] | None = None,
        if_generation: int | None = None,
        timeout: float | None = None,
    ) -> Traffic:
        """Replace the whole traffic policy; see :meth:`Client.set_traffic`."""
        return await self._call(self._calls.set_traffic(weights, shadows, if_generation), timeout)

    async def get_status(self, *, timeout: float | None = None) -> ServerStatus:
        """The processes of the server, with their memory and CPU time."""
        return await self._call(self._calls.get_status(), timeout)

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._closed = True
        self._methods = {}
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, call: Call[T], timeout: float | None) -> T:
        return await self._run(call, self._timeout if timeout is None else timeout)

    async def _run(self, call: Call[T], seconds: float | None, *, wait_for_ready: bool | None = None) -> T:
        if self._tracing is None:
            return await self._send(call, seconds, self._metadata, wait_for_ready)
        with self._traced(call.method) as metadata:
            return await self._send(call, seconds, metadata, wait_for_ready)

    async def _send(
        self, call: Call[T], seconds: float | None, metadata: Metadata | None, wait_for_ready: bool | None
    ) -> T:
        method = self._method(call.method)
        try:
            response = await method(call.request, timeout=seconds, metadata=metadata, wait_for_ready=wait_for_ready)
        except grpc.RpcError as error:
            raise error_of_rpc(error, call.request_id) from error
        return call.decode(response)

    async def _stream(
        self, feed: _stream.AsyncFeed, on_error: _stream.OnError, timeout: float | None
    ) -> AsyncGenerator[Prediction | CallError, None]:
        with self._traced("PredictStream") as metadata:
            rpc = self._method("PredictStream")(timeout=timeout, metadata=metadata)
            async with aclosing(feed.outcomes(rpc, self._calls.prediction, Deadline(timeout))) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, Prediction):
                        await self._learn_names(outcome, Deadline(self._timeout))
                    elif on_error == "raise":
                        raise outcome
                    yield outcome

    def _traced(self, method: str) -> AbstractContextManager[Metadata | None]:
        if self._tracing is None:
            return nullcontext(self._metadata)
        return self._tracing.span(method, self._metadata)

    def _method(self, name: str) -> Any:
        if not self._methods:
            if self._closed:
                raise ClientClosedError("the client is closed; make a new one")
            # Not sooner: a channel belongs to the event loop that is running.
            self._channel = self._connection.open_async()
            self._methods = bind(self._channel)
        return self._methods[name]

    async def _learn_names(self, prediction: Prediction, deadline: Deadline) -> None:
        """Ask for the class names of the manifest that answered; a failure does not spoil the answer."""
        if not self._calls.lacks_names(prediction):
            return
        async with self._naming:
            if self._calls.lacks_names(prediction) and (left := deadline.left()) != 0:
                try:
                    await self._run(self._calls.describe_model(), left)
                except CallError as error:
                    self._calls.keeps_names_secret(prediction, error)
