"""Predict without coroutines: bytes in, bytes out, by callbacks. Every transport goes through here."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from twinserve.v1 import predict_pb2
from twinserve_server.engine.engine import Call, Engine
from twinserve_server.errors import InvalidInputError, TwinserveError
from twinserve_server.rpc.callback import Exchange, Slot
from twinserve_server.services.decode import MAX_KEY_BYTES, Items, check_request_id, check_text, decode_input
from twinserve_server.services.encode import encode_answer, encode_stream_answer, encode_stream_error

#: So many streams that send more than is worked off share a variant's queue before requests are refused.
STREAMS_A_QUEUE: Final = 4

_parse: Final = predict_pb2.PredictRequest.FromString


class PredictMethod:
    """``PredictService/Predict`` as a :class:`DirectMethod`."""

    def __init__(self, engine: Engine, max_request_images: int) -> None:
        self._engine = engine
        self._max_request_images = max_request_images

    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange) -> Call | None:
        """See :meth:`DirectMethod.begin`."""
        call, items = open_call(self._engine, parse_request(raw), self._max_request_images)
        call.owner = exchange
        self._engine.run(call, items.data, items.datatype, items.count, self._finish, deadline_ns)
        return call if call.owner is not None else None

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """See :meth:`DirectMethod.abandon`."""
        self._engine.abandon(call, error)

    @staticmethod
    def _finish(call: Call) -> None:
        exchange: Exchange = call.owner
        job = call.job
        assert job is not None
        if job.error is None:
            exchange.answer(encode_answer(call, job))
        else:
            exchange.refuse(job.error, call.request_id)
        call.owner = None


class PredictStreamMethod:
    """One message of ``PredictService/PredictStream`` as a :class:`DirectStreamMethod`."""

    def __init__(self, engine: Engine, max_request_images: int) -> None:
        self._engine = engine
        self._max_request_images = max_request_images
        # No stream fills a queue alone: a large message waits on the wire instead of being refused.
        self.window_images = max(1, engine.least_queue_images // STREAMS_A_QUEUE)

    def begin(self, raw: bytes, deadline_ns: int, slot: Slot) -> Call | None:
        """See :meth:`DirectStreamMethod.begin`."""
        request_id = ""
        try:
            request = parse_request(raw)
            request_id = request.request_id
            call, items = open_call(self._engine, request, self._max_request_images)
        except TwinserveError as error:
            slot.answer(encode_stream_error(error, request_id))
            return None
        call.owner = slot
        self._engine.run(call, items.data, items.datatype, items.count, self._finish, deadline_ns)
        return call if call.owner is not None else None

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """See :meth:`DirectStreamMethod.abandon`."""
        self._engine.abandon(call, error)

    @staticmethod
    def _finish(call: Call) -> None:
        slot: Slot = call.owner
        job = call.job
        assert job is not None
        if job.error is None:
            slot.answer(encode_stream_answer(call, job))
        else:
            slot.answer(encode_stream_error(job.error, call.request_id))
        call.owner = None


def parse_request(raw: bytes) -> predict_pb2.PredictRequest:
    """A request from the wire.

    Raises:
        InvalidInputError: it is not one.
    """
    try:
        return _parse(raw)
    except DecodeError:
        raise InvalidInputError(
            f"the request is not a message that twinserve.v1.PredictService/Predict takes ({len(raw)} bytes)"
        ) from None


def open_call(engine: Engine, request: predict_pb2.PredictRequest, max_images: int) -> tuple[Call, Items]:
    """Check and route one request.

    Raises:
        TwinserveError: the request is refused.
    """
    served = engine.find(request.model)
    if not request.HasField("input"):
        raise InvalidInputError.of("input", "is missing; send a tensor of one or many items")
    items = decode_input(request.input, served.version, max_images)
    request_id, routing_key = request.request_id, request.routing_key
    if request_id:
        check_request_id(request_id)
    if routing_key:
        check_text("routing_key", routing_key, MAX_KEY_BYTES)
    return engine.open_call(served, request.variant, routing_key, request_id), items
