"""PredictService: decode, call the core, encode. What goes wrong is raised in the core's terms and mapped outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from twinserve.v1 import predict_pb2

from twinserve_server.answer_codec import encode_answer
from twinserve_server.core.engine import Call, Engine
from twinserve_server.core.errors import (
    CancelledError,
    DeadlineError,
    InvalidInputError,
    TwinserveError,
)
from twinserve_server.core.feedback import Judgement
from twinserve_server.deadlines import is_past_deadline
from twinserve_server.describe import describe_model
from twinserve_server.status import status_of
from twinserve_server.tensor_codec import MAX_ID_BYTES, MAX_KEY_BYTES, Items, check_text, decode_input

#: Requests of one stream that may be in work at once; more are not read from the wire.
STREAM_WINDOW = 128


class RpcContext(Protocol):
    """What the service needs of a gRPC context."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: there is none."""


class PredictService:
    """The methods of ``twinserve.v1.PredictService``, for an asyncio transport."""

    def __init__(
        self,
        engine: Engine,
        max_request_images: int,
        judge_elsewhere: Callable[[str, list[int]], Awaitable[Judgement | None]],
    ) -> None:
        self._engine = engine
        self._max_request_images = max_request_images
        #: Asks the other gateways about a request that this one did not answer.
        self._judge_elsewhere = judge_elsewhere

    async def predict(self, request: predict_pb2.PredictRequest, context: RpcContext) -> bytes:
        """Answer one request; the bytes of a ``PredictResponse``."""
        return await self._answer(request, deadline_of(context))

    async def predict_stream(
        self, requests: AsyncIterator[predict_pb2.PredictRequest], context: RpcContext
    ) -> AsyncIterator[predict_pb2.PredictStreamResponse]:
        """Answer in the order of the requests, with up to ``STREAM_WINDOW`` of them in work."""
        deadline_ns = deadline_of(context)
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(STREAM_WINDOW)
        started: list[asyncio.Task[bytes]] = []

        async def read() -> None:
            try:
                async for request in requests:
                    task = asyncio.ensure_future(self._answer(request, deadline_ns))
                    task.set_name(request.request_id)
                    await answers.put(task)
            finally:
                await answers.put(None)

        reader = asyncio.ensure_future(read())
        try:
            while (task := await answers.get()) is not None:
                started.append(task)
                try:
                    yield predict_pb2.PredictStreamResponse(response=predict_pb2.PredictResponse.FromString(await task))
                except TwinserveError as error:
                    yield predict_pb2.PredictStreamResponse(
                        error=predict_pb2.StreamError(
                            code=status_of(error).value[0], message=error.message, request_id=task.get_name()
                        )
                    )
                started.clear()
            await reader
        finally:
            reader.cancel()
            while not answers.empty():
                if (left := answers.get_nowait()) is not None:
                    started.append(left)
            for task in started:
                task.cancel()

    async def compare(self, request: predict_pb2.CompareRequest, context: RpcContext) -> predict_pb2.CompareResponse:
        """Run one input through several variants."""
        served = self._engine.find(request.model)
        deadline_ns = deadline_of(context)
        names = list(request.variants) or sorted(served.channels)
        if len(set(names)) != len(names):
            raise InvalidInputError.of("variants", f"{names} names a variant twice")
        parts = [
            predict_pb2.PredictRequest(
                input=request.input, model=request.model, variant=name, request_id=request.request_id
            )
            for name in names
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer_or_error(part, deadline_ns)) for part in parts]
        answers = [task.result() for task in tasks]
        for answer in answers:
            if isinstance(answer, TwinserveError):
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

    async def _answer_or_error(self, request: predict_pb2.PredictRequest, deadline_ns: int) -> bytes | TwinserveError:
        try:
            return await self._answer(request, deadline_ns)
        except TwinserveError as error:
            return error

    async def _answer(self, request: predict_pb2.PredictRequest, deadline_ns: int) -> bytes:
        call, items = open_call(self._engine, request, self._max_request_images)
        future: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._engine.run(call, items.data, items.datatype, items.count, _resolve(future), deadline_ns)
        try:
            await future
        except asyncio.CancelledError:
            self._engine.abandon(call, why_gone(call.started_ns, deadline_ns))
            raise
        job = call.job
        assert job is not None
        if job.error is not None:
            raise job.error
        return encode_answer(call, job)


def open_call(engine: Engine, request: predict_pb2.PredictRequest, max_images: int) -> tuple[Call, Items]:
    """Check and route one request: the part that every transport shares.

    Raises:
        TwinserveError: the request is refused.
    """
    served = engine.find(request.model)
    if not request.HasField("input"):
        raise InvalidInputError.of("input", "is missing; send a tensor of one or many items")
    items = decode_input(request.input, served.version, max_images)
    check_text("request_id", request.request_id, MAX_ID_BYTES)
    check_text("routing_key", request.routing_key, MAX_KEY_BYTES)
    return engine.open_call(served, request.variant, request.routing_key, request.request_id), items


def deadline_of(context: RpcContext) -> int:
    """The caller's deadline against ``time.monotonic_ns()``; 0: none."""
    remaining = context.time_remaining()
    return 0 if remaining is None else time.monotonic_ns() + int(remaining * 1e9)


def why_gone(started_ns: int, deadline_ns: int) -> TwinserveError:
    """Why a caller stopped waiting."""
    now_ns = time.monotonic_ns()
    if deadline_ns and is_past_deadline((deadline_ns - now_ns) / 1e9, (now_ns - started_ns) / 1e9):
        return DeadlineError("the deadline passed")
    return CancelledError("the caller went away")


def _resolve(future: asyncio.Future[Call]) -> Callable[[Call], None]:
    def resolve(call: Call) -> None:
        if not future.done():
            future.set_result(call)

    return resolve
