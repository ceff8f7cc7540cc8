"""ModelInfer: bytes in, bytes out, by the same path through the engine as Predict."""

from __future__ import annotations

from functools import partial

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.engine.address import AT
from twinserve_server.engine.call import Call
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import InvalidInputError, TwinserveError
from twinserve_server.rpc.callback import Exchange
from twinserve_server.rpc.method import parse_message
from twinserve_server.services.decode import MAX_KEY_BYTES, Limits, check_request_id, check_text
from twinserve_server.services.inference_method import InferenceMethod
from twinserve_server.services.open_inference.decode import (
    DATA_FIELD,
    WantedOutput,
    decode_items,
    text_parameter,
    wanted_outputs,
)
from twinserve_server.services.open_inference.encode import encode_response
from twinserve_server.services.open_inference.names import addressed, resolve
from twinserve_server.services.open_inference.tensors import decode_named, encode_named
from twinserve_server.services.skeletons import Skeletons


class ModelInferMethod(InferenceMethod):
    """``GRPCInferenceService/ModelInfer`` as a :class:`DirectMethod`."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        skeletons = Skeletons(pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER, _put)
        super().__init__(engine, limits, skeletons, DATA_FIELD)

    def begin(self, raw: bytes, deadline_ns: int, exchange: Exchange) -> Call | None:
        request_id = ""
        try:
            request = parse_request(raw)
            request_id, name = request.id, request.model_name
            target = partial(self._target, name, request.model_version, text_parameter(request, "variant"))
            served, variant = target()
            if request_id:
                check_request_id(request_id)
            routing_key = text_parameter(request, "routing_key")
            check_text("parameters[routing_key]", routing_key, MAX_KEY_BYTES)
            version = served.version
            if version.signature is None:
                items = decode_items(request, version, self._limits)
            else:
                items = decode_named(request, served, self._limits)
            on_done = partial(_finish, name, wanted_outputs(request, version))
            if not request_id and not routing_key and len(request.raw_input_contents) == 1:
                self.skeletons.learn(raw, request, items, version, target, on_done)
            return self._queue(served, items, variant, routing_key, request_id, on_done, deadline_ns, exchange)
        except TwinserveError as error:
            exchange.refuse(error, request_id)
            return None

    def _target(self, name: str, version: str, named: str) -> tuple[ServedModel, str]:
        """What answers a request to model ``name`` whose parameters name the variant ``named``."""
        served, variant = resolve(self._engine, name, version)
        if named and variant and named != variant:
            raise InvalidInputError.of(
                "parameters[variant]", f"is {named!r}, but the model name already means variant {variant!r}"
            )
        if AT in named and version:
            raise InvalidInputError.of(
                "parameters[variant]", f"is {named!r}, but model_version names a version already; give one of them"
            )
        return addressed(self._engine, served, variant or named)


def _put(request: pb.ModelInferRequest, data: bytes) -> None:
    request.raw_input_contents[0] = data


def _finish(name: str, wanted: tuple[WantedOutput, ...], call: Call) -> None:
    exchange: Exchange = call.owner
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
