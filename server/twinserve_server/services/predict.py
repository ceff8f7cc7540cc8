"""The methods of ``twinserve.v1.PredictService``; errors are raised in the engine's terms and mapped outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twinserve.v1 import predict_pb2
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import InvalidInputError, shown
from twinserve_server.rpc.coroutine import RpcContext, Unary, deadline_of
from twinserve_server.services.describe import describe_model
from twinserve_server.services.predict_method import PredictMethod, PredictStreamMethod


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
        self._answer = Unary(self.predict_method)
        self._engine = engine
        self._max_request_images = max_request_images
        #: Asks the other gateways about a request that this one did not answer.
        self._judge_elsewhere = judge_elsewhere

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
            *(self._answer.bytes_of(part, deadline_ns) for part in parts), return_exceptions=True
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
