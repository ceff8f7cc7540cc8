"""The asyncio client: the methods of ``Client`` as coroutines."""

# ruff: noqa: ASYNC109  (a timeout here is gRPC's deadline, which the server sees too; asyncio.timeout is not)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, TypeVar, overload

import numpy.typing as npt

from twinserve_client import _fleet, _stream
from twinserve_client._arguments import one_of, seconds
from twinserve_client._async_session import AsyncSession
from twinserve_client._calls import Call, Calls
from twinserve_client._channel import TLS, Connection, Option
from twinserve_client._retry import RetryPolicy
from twinserve_client._waiting import Deadline, Readiness
from twinserve_client.errors import CallError, ConfigurationError
from twinserve_client.types import Feedback, ImageInput, ModelInfo, Prediction, ServerStatus, Traffic
from twinserve_client.versions import AsyncVersions

T = TypeVar("T")


class AsyncClient:
    """A connection to a twinserve server for one event loop. Usable as an asynchronous context manager.

    Takes the same arguments as :class:`twinserve_client.Client` and raises the same errors. It can be created anywhere,
    and belongs to the event loop that runs its first call.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 5.0,
        retries: RetryPolicy | int | None = RetryPolicy(),
        retry_exhausted: bool = False,
        tls: TLS | None = None,
        token: str | None = None,
        metadata: Mapping[str, str] | None = None,
        isolated: bool = True,
        channel_options: Sequence[Option] = (),
        admin_target: str | None = None,
    ) -> None:
        connect = partial(
            Connection.of,
            retries=retries,
            retry_exhausted=retry_exhausted,
            tls=tls,
            token=token,
            metadata=metadata,
            isolated=isolated,
            channel_options=channel_options,
        )
        self._connection = connect(target)
        self._admin_connection = self._connection if admin_target is None else connect(admin_target)
        self._timeout = seconds("timeout", timeout, ConfigurationError)
        self._calls = Calls(model)
        self._session = AsyncSession(self._connection, self._calls, self._timeout)
        self._admin = (
            self._session if admin_target is None else AsyncSession(self._admin_connection, self._calls, self._timeout)
        )
        #: Lists, loads, activates and unloads versions of the client's model on the running servers.
        self.versions: Final = AsyncVersions(self._admin_connection, self._admin, self._calls, self._deadline)

    async def predict(
        self,
        images: ImageInput | None = None,
        *,
        inputs: Mapping[str, npt.ArrayLike] | None = None,
        variant: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Classify one or many images; see :meth:`Client.predict`."""
        deadline = self._deadline(timeout)
        make = partial(self._calls.predict, one_of(images, inputs), variant, routing_key, request_id)
        prediction = await self._session.ask(make, deadline)
        await self._session.learn_names(prediction, deadline)
        return prediction

    @overload
    def predict_stream(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
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
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        variant: str | None = ...,
        routing_key: str | None = ...,
        max_in_flight: int = ...,
        on_error: Literal["return"],
        timeout: float | None = ...,
    ) -> AsyncIterator[Prediction | CallError]: ...
    def predict_stream(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        variant: str | None = None,
        routing_key: str | None = None,
        max_in_flight: int = 64,
        on_error: _stream.OnError = "raise",
        timeout: float | None = None,
    ) -> AsyncIterator[Prediction | CallError]:
        """Classify many requests over one stream, in order; see :meth:`Client.predict_stream`.

        ``images`` may also be an asynchronous iterable. Close the stream if you leave the loop early:
        ``async with contextlib.aclosing(client.predict_stream(…)) as answers``.
        """
        images = _stream.check_arguments(images, max_in_flight, on_error, asynchronous=True)
        encode = self._calls.stream_request(variant, routing_key)
        return self._session.stream(images, encode, max_in_flight, on_error, seconds("timeout", timeout))

    async def compare(
        self,
        images: ImageInput,
        variants: Sequence[str] | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Prediction]:
        """Run one input through several variants; see :meth:`Client.compare`."""
        deadline = self._deadline(timeout)
        make = partial(self._calls.compare, images, variants, request_id)
        predictions = await self._session.ask(make, deadline)
        for prediction in predictions.values():
            await self._session.learn_names(prediction, deadline)
        return predictions

    async def send_feedback(
        self,
        request_id: str,
        labels: npt.ArrayLike,
        *,
        timeout: float | None = None,
    ) -> Feedback:
        """Report the true classes of an earlier request; see :meth:`Client.send_feedback`."""
        call = self._calls.send_feedback(request_id, labels)
        if not self._connection.target.several:
            return await self._call(call, timeout)
        return _fleet.only_answer(await self._session.each(lambda _: call, self._deadline(timeout), request_id))

    async def describe_model(self, *, version: str | int | None = None, timeout: float | None = None) -> ModelInfo:
        """Describe the served model; see :meth:`Client.describe_model`."""
        return await self._call(self._calls.describe_model(version), timeout)

    async def wait_until_ready(self, timeout: float = 60.0) -> ModelInfo:
        """Wait until every variant is warm; see :meth:`Client.wait_until_ready`."""
        readiness = Readiness(seconds("timeout", timeout))
        while readiness.waiting():
            call = self._calls.describe_model()
            try:
                info = await self._session.run(call, readiness.attempt_seconds, wait_for_ready=True)
            except CallError as error:
                readiness.failed(error)
            else:
                if readiness.described(info):
                    return info
            await asyncio.sleep(readiness.pause_seconds)
        raise readiness.timed_out(self._connection.target.text)

    async def get_traffic(self, *, timeout: float | None = None) -> Traffic:
        """The traffic policy; see :meth:`Client.get_traffic`."""
        call = self._calls.get_traffic()
        if not self._admin_connection.target.several:
            return await self._call_admin(call, timeout)
        return _fleet.agreed(await self._admin.each(lambda _: call, self._deadline(timeout)))

    async def set_traffic(
        self,
        weights: Mapping[str, float],
        *,
        shadows: Mapping[str, float] | None = None,
        if_generation: int | Mapping[str, int] | None = None,
        timeout: float | None = None,
    ) -> Traffic:
        """Replace the whole traffic policy; see :meth:`Client.set_traffic`."""
        change = partial(self._calls.set_traffic, weights, shadows)
        if not self._admin_connection.target.several:
            return await self._call_admin(change(if_generation), timeout)
        deadline = self._deadline(timeout)
        change(None)  # report wrong arguments before calling any server
        wanted = _fleet.expected(await self._admin.each(lambda _: self._calls.get_traffic(), deadline), if_generation)
        return _fleet.applied(await self._admin.each(lambda server: change(wanted[server]), deadline))

    async def get_status(self, *, timeout: float | None = None) -> ServerStatus:
        """The server's processes, with memory and CPU time; see :meth:`Client.get_status`."""
        return await self._call_admin(self._calls.get_status(), timeout)

    async def get_statuses(self, *, timeout: float | None = None) -> dict[str, ServerStatus | CallError]:
        """The status of each server behind the target, or its error, by address."""
        call = self._calls.get_status()
        return await self._admin.each(lambda _: call, self._deadline(timeout))

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._session.close()
        if self._admin is not self._session:
            await self._admin.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _call_admin(self, call: Call[T], timeout: float | None) -> T:
        return await self._admin.run(call, self._deadline(timeout).seconds)

    async def _call(self, call: Call[T], timeout: float | None) -> T:
        return await self._session.run(call, self._deadline(timeout).seconds)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else seconds("timeout", timeout))
