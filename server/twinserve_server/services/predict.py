"""PredictService for transports with coroutines. What goes wrong is raised in the core's terms and mapped outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from twinserve.v1 import predict_pb2
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import InvalidInputError, TwinserveError, shown
from twinserve_server.rpc.deadlines import why_gone
from twinserve_server.rpc.errors import REQUEST_ID_KEY
from twinserve_server.rpc.stream_window import StreamWindow
from twinserve_server.services.describe import describe_model
from twinserve_server.services.predict_method import PredictMethod, PredictStreamMethod


class RpcContext(Protocol):
    """What the service needs of a gRPC context."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: there is none."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        """What to send along with the status."""


class PredictService:
    """The methods of ``twinserve.v1.PredictService``; the two that predict also without coroutines."""

    def __init__(
        self,
        engine: Engine,
        max_request_images: int,
        judge_elsewhere: Callable[[str, list[int]], Awaitable[Judgement | None]],
    ) -> None:
        self.predict_method = PredictMethod(engine, max_request_images)
        self.predict_stream_method = PredictStreamMethod(engine, max_request_images)
        self._engine = engine
        self._max_request_images = max_request_images
        #: Asks the other gateways about a request that this one did not answer.
        self._judge_elsewhere = judge_elsewhere

    async def predict(self, raw: bytes, context: RpcContext) -> bytes:
        """Answer one encoded ``PredictRequest``; the bytes of a ``PredictResponse``."""
        exchange = _FutureExchange()
        try:
            return await self._answer(raw, deadline_of(context), exchange)
        except TwinserveError:
            if exchange.request_id:
                context.set_trailing_metadata(((REQUEST_ID_KEY, exchange.request_id),))
            raise

    async def predict_stream(self, requests: AsyncIterator[bytes], context: RpcContext) -> AsyncIterator[bytes]:
        """Answer encoded requests in their order, with up to ``STREAM_WINDOW`` of them in work."""
        changed = asyncio.Event()
        window = StreamWindow(self.predict_stream_method, deadline_of(context), changed.set)

        async def read() -> None:
            async for raw in requests:
                window.add(raw)
                while window.full:
                    room.clear()
                    await room.wait()

        room = asyncio.Event()
        reader = asyncio.ensure_future(read())
        reader.add_done_callback(lambda _: changed.set())
        try:
            while True:
                while (response := window.pop()) is not None:
                    yield response
                room.set()
                if reader.done() and not len(window):
                    reader.result()
                    return
                changed.clear()
                await changed.wait()
        finally:
            reader.cancel()
            window.close(why_gone)

    async def compare(self, request: predict_pb2.CompareRequest, context: RpcContext) -> predict_pb2.CompareResponse:
        """Run one input through several variants."""
        served = self._engine.find(request.model)
        deadline_ns = deadline_of(context)
        names = list(request.variants) or sorted(served.channels)
        if len(set(names)) != len(names):
            raise InvalidInputError.of("variants", f"{shown(names)} names a variant twice")
        parts = [
            predict_pb2.PredictRequest(
                input=request.input, model=request.model, variant=name, request_id=request.request_id
            ).SerializeToString()
            for name in names
        ]
        answers = await asyncio.gather(
            *(self._answer(part, deadline_ns, _FutureExchange()) for part in parts), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return predict_pb2.CompareResponse(
            responses=[
                predict_pb2.PredictResponse.FromString(answer) for answer in answers if isinstance(answer, bytes)
            ]
        )

    async def send_feedback(
        self,
        request: predict_pb2.SendFeedbackRequest,
        context: RpcContext,
    ) -> predict_pb2.SendFeedbackResponse:
        """Take the labels of an earlier request, whichever gateway answered it."""
        if not request.request_id:
            raise InvalidInputError.of("request_id", "is empty; give the one of a PredictResponse")
        labels = list(request.labels)
        judgement = None
        if not self._engine.knows(request.request_id):
            judgement = await self._judge_elsewhere(request.request_id, labels)
        if judgement is None:
            judgement = self._engine.judge(request.request_id, labels)
        return predict_pb2.SendFeedbackResponse(
            variant=judgement.variant, correct=judgement.correct, total=judgement.total
        )

    async def describe_model(
        self,
        request: predict_pb2.DescribeModelRequest,
        context: RpcContext,
    ) -> predict_pb2.DescribeModelResponse:
        """What is served, from the manifest."""
        return describe_model(self._engine, request.model, self._max_request_images)

    async def _answer(self, raw: bytes, deadline_ns: int, exchange: _FutureExchange) -> bytes:
        started_ns = time.monotonic_ns()
        call = self.predict_method.begin(raw, deadline_ns, exchange)
        try:
            return await exchange.future
        except asyncio.CancelledError:
            if call is not None:
                self.predict_method.abandon(call, why_gone(started_ns, deadline_ns))
            raise


class _FutureExchange:
    """An exchange that a coroutine waits for."""

    __slots__ = ("future", "request_id")

    def __init__(self) -> None:
        self.request_id = ""
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answer(self, response: bytes) -> None:
        """See :meth:`Exchange.answer`."""
        if not self.future.done():
            self.future.set_result(response)

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        """See :meth:`Exchange.refuse`."""
        self.request_id = request_id
        if not self.future.done():
            self.future.set_exception(error)


def deadline_of(context: RpcContext) -> int:
    """The caller's deadline against ``time.monotonic_ns()``; 0: none."""
    remaining = context.time_remaining()
    return 0 if remaining is None else time.monotonic_ns() + int(remaining * 1e9)
