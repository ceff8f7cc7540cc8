"""PredictService: each method decodes, calls the engine and encodes. Errors are those of ``errors``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import same_signature
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import InvalidInputError, shown
from twinserve_server.rpc.callback import DirectStream
from twinserve_server.rpc.coroutine import Reply, RpcContext, deadline_of
from twinserve_server.rpc.deadlines import why_gone
from twinserve_server.services.decode import Limits
from twinserve_server.services.describe import describe_model
from twinserve_server.services.encode import encode_comparison, encode_stream_answer, encode_stream_error
from twinserve_server.services.predict_method import PredictMethod, stream_window
from twinserve_server.services.tensors import decode_request


class PredictService:
    """The methods of ``twinserve.v1.PredictService``; the two that predict need no coroutine."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        judge_elsewhere: Callable[[str, list[int]], Awaitable[Judgement | None]],
        claim: Callable[[str], Awaitable[None]],
    ) -> None:
        self.predict = PredictMethod(engine, limits)
        self.predict_stream = DirectStream(
            self.predict, stream_window(engine), encode_stream_answer, encode_stream_error
        )
        self._engine = engine
        self._limits = limits
        #: Asks the other gateways about a request that this one did not answer.
        self._judge_elsewhere = judge_elsewhere
        #: Raises RepeatedFeedbackError for a signed answer that any gateway has already judged.
        self._claim = claim

    async def compare(self, request: predict_pb2.CompareRequest, context: RpcContext) -> bytes:
        """Run one input through several variants."""
        served = self._engine.find(request.model)
        names = list(request.variants) or sorted(served.channels)
        if len(set(names)) != len(names):
            raise InvalidInputError.of("variants", f"{shown(names)} names a variant twice")
        for name in names:
            served.router.route(name, "")  # refuses an unknown one before any of them runs
            version = self._engine.find(request.model, name).version
            if not same_signature(version, served.version):
                raise InvalidInputError.of(
                    "variants",
                    f"{name} has other inputs or outputs than version {served.version.version} of "
                    f"{version.model}, which is active; one input does not fit both",
                )
        items = decode_request(request, served, self._limits, answers=len(names))
        deadline_ns, started_ns = deadline_of(context), time.monotonic_ns()
        replies = [Reply(context.peer()) for _ in names]
        calls = []
        try:
            for name, reply in zip(names, replies, strict=True):
                calls.append(self.predict.run(served, items, name, "", request.request_id, deadline_ns, reply))
            await asyncio.gather(*(reply.told for reply in replies))
        except asyncio.CancelledError:
            for call in calls:
                if call is not None:
                    self.predict.abandon(call, why_gone(started_ns, deadline_ns))
            raise
        for reply in replies:
            if reply.error is not None:
                raise reply.error
        return encode_comparison([reply.response for reply in replies])

    async def send_feedback(
        self, request: predict_pb2.SendFeedbackRequest, context: RpcContext
    ) -> predict_pb2.SendFeedbackResponse:
        """Take the labels of an earlier answer: signed by any server, or remembered by a gateway of this one."""
        if not request.request_id:
            raise InvalidInputError.of("request_id", "is empty; give the request_id of a PredictResponse")
        labels = list(request.labels)
        judgement = None
        if not self._engine.knows(request.request_id):
            if (receipt := self._engine.receipt_of(request.request_id)) is not None:
                judgement = receipt.judge(labels)
                await self._claim(receipt.key)
                self._engine.count(judgement)
                return predict_pb2.SendFeedbackResponse(
                    variant=judgement.variant, correct=judgement.correct, total=judgement.total
                )
            judgement = await self._judge_elsewhere(request.request_id, labels)
        if judgement is None:
            judgement = self._engine.judge(request.request_id, labels)
        return predict_pb2.SendFeedbackResponse(
            variant=judgement.variant, correct=judgement.correct, total=judgement.total
        )

    async def describe_model(
        self, request: predict_pb2.DescribeModelRequest, context: RpcContext
    ) -> predict_pb2.DescribeModelResponse:
        """What is served, from the manifest."""
        return describe_model(self._engine, request.model, request.version, self._limits)
