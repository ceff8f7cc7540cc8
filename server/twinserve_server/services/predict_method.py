"""Predict without coroutines: bytes in, bytes out, by callbacks. Every transport goes through here."""

from __future__ import annotations

from functools import partial
from typing import Final

from twinserve.v1 import predict_pb2
from twinserve_server.engine.amount import Amount
from twinserve_server.engine.call import Call
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import Exchange
from twinserve_server.rpc.method import parse_message
from twinserve_server.services.decode import (
    DATA_FIELD,
    MAX_KEY_BYTES,
    Items,
    Limits,
    check_request_id,
    check_text,
    decode_input,
)
from twinserve_server.services.encode import encode_answer
from twinserve_server.services.inference_method import InferenceMethod
from twinserve_server.services.skeletons import Skeletons
from twinserve_server.services.tensors import decode_request, encode_tensors

#: How many overloading streams can share a variant's queue before requests are refused.
STREAMS_A_QUEUE: Final = 4


class PredictMethod(InferenceMethod):
    """``PredictService/Predict`` as a :class:`DirectMethod`."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        super().__init__(engine, limits, Skeletons(predict_pb2.Tensor.DATA_FIELD_NUMBER, _put), DATA_FIELD)

    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange) -> Call | None:
        request_id = ""
        try:
            request = parse_request(raw)
            request_id, routing_key = request.request_id, request.routing_key
            served = self._engine.find(request.model, request.variant)
            if served.version.signature is None and request.HasField("input") and not request.inputs:
                items = decode_input(request.input, served.version, self._limits)
                if not request_id and not routing_key:
                    target = partial(self._target, request.model, request.variant)
                    self.skeletons.learn(raw, request, items, served.version, target, _finish)
            else:
                items = decode_request(request, served, self._limits)
            if routing_key:
                check_text("routing_key", routing_key, MAX_KEY_BYTES)
            return self.run(served, items, request.variant, routing_key, request_id, deadline_ns, exchange)
        except TwinserveError as error:
            exchange.refuse(error, request_id)
            return None

    def run(
        self,
        served: ServedModel,
        items: Items,
        variant: str,
        routing_key: str,
        request_id: str,
        deadline_ns: int,
        exchange: Exchange,
    ) -> Call | None:
        """Route checked ``items`` and queue them, as :meth:`begin`.

        Raises:
            TwinserveError: the request is refused before it is queued; ``exchange`` hears nothing.
        """
        if request_id:
            check_request_id(request_id)
        return self._queue(served, items, variant, routing_key, request_id, _finish, deadline_ns, exchange)

    def _target(self, model: str, variant: str) -> tuple[ServedModel, str]:
        return self._engine.find(model, variant), variant


def _put(request: predict_pb2.PredictRequest, data: bytes) -> None:
    request.input.data = data


def _finish(call: Call) -> None:
    exchange: Exchange = call.owner
    job = call.job
    assert job is not None
    if job.error is None:
        exchange.answer(encode_answer(call, job) if job.outputs is None else encode_tensors(call, job))
    else:
        exchange.refuse(job.error, call.request_id)
    call.owner = None


def stream_window(engine: Engine) -> Amount:
    """What one stream may have in work: none fills a queue alone, a large message waits on the wire instead."""
    return engine.least_bounds.share(STREAMS_A_QUEUE)


def parse_request(raw: bytes) -> predict_pb2.PredictRequest:
    """A request from the wire.

    Raises:
        InvalidInputError: it is not one.
    """
    return parse_message(predict_pb2.PredictRequest.FromString, "twinserve.v1.PredictService/Predict", raw)
