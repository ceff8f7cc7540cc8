"""ModelInfer: bytes in, bytes out, by the same path through the engine as Predict."""

from __future__ import annotations

from collections.abc import Sequence

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.engine.address import AT
from twinserve_server.engine.call import Call
from twinserve_server.engine.engine import Engine
from twinserve_server.errors import InvalidInputError, TwinserveError
from twinserve_server.rpc.callback import Arrival, Exchange, begin_each
from twinserve_server.rpc.method import parse_message
from twinserve_server.services.decode import MAX_KEY_BYTES, Items, Limits, check_request_id, check_text
from twinserve_server.services.open_inference.decode import WantedOutput, decode_items, text_parameter, wanted_outputs
from twinserve_server.services.open_inference.encode import encode_response
from twinserve_server.services.open_inference.names import addressed, resolve
from twinserve_server.services.open_inference.tensors import decode_named, encode_named


class ModelInferMethod:
    """``GRPCInferenceService/ModelInfer`` as a :class:`DirectMethod`."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange) -> Call | None:
        request_id = ""
        try:
            request = parse_request(raw)
            request_id = request.id
            call, items, wanted = open_call(self._engine, request, self._limits)
        except TwinserveError as error:
            exchange.refuse(error, request_id)
            return None
        call.owner = (exchange, request.model_name, wanted)
        self._engine.run(call, items.data, items.datatype, items.count, self._finish, deadline_ns, exchange.peer)
        return call if call.owner is not None else None

    def begin_all(self, arrivals: Sequence[Arrival]) -> list[Call | None]:
        return begin_each(self, arrivals)

    def abandon(self, call: Call, error: TwinserveError) -> None:
        self._engine.abandon(call, error)

    @staticmethod
    def _finish(call: Call) -> None:
        exchange, name, wanted = call.owner
        job = call.job
        assert job is not None
        if job.error is None:
            encode = encode_response if job.outputs is None else encode_named
            exchange.answer(encode(call, job, name, wanted))
        else:
            exchange.refuse(job.error, call.request_id)
        call.owner = None


def parse_request(raw: bytes) -> pb.ModelInferRequest:
    """A request from the wire.

    Raises:
        InvalidInputError: it is not one.
    """
    return parse_message(pb.ModelInferRequest.FromString, "inference.GRPCInferenceService/ModelInfer", raw)


def open_call(
    engine: Engine, request: pb.ModelInferRequest, limits: Limits
) -> tuple[Call, Items, tuple[WantedOutput, ...]]:
    """Check and route one request.

    Raises:
        TwinserveError: the request is refused.
    """
    served, variant = resolve(engine, request.model_name, request.model_version)
    request_id, routing_key = request.id, ""
    if request_id:
        check_request_id(request_id)
    if request.parameters:
        routing_key = text_parameter(request, "routing_key")
        check_text("parameters[routing_key]", routing_key, MAX_KEY_BYTES)
        named = text_parameter(request, "variant")
        if named and variant and named != variant:
            raise InvalidInputError.of(
                "parameters[variant]", f"is {named!r}, but the model name already means variant {variant!r}"
            )
        if AT in named and request.model_version:
            raise InvalidInputError.of(
                "parameters[variant]", f"is {named!r}, but model_version names a version already; give one of them"
            )
        variant = variant or named
    served, variant = addressed(engine, served, variant)
    if served.version.signature is None:
        items = decode_items(request, served.version, limits)
    else:
        items = decode_named(request, served, limits)
    wanted = wanted_outputs(request, served.version)
    return engine.open_call(served, variant, routing_key, request_id), items, wanted
