"""Requests and answers of models of named tensors, in the protocol's messages."""

from __future__ import annotations

from typing import Final

import numpy as np

from twinserve.inference import open_inference_pb2 as pb
from twinserve.v1 import predict_pb2
from twinserve_server.artefact.datatypes import DATATYPES, EVERY_VALUE, DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.engine.call import TIMING, Call, timing_of
from twinserve_server.engine.job import Job
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import InvalidInputError, shown
from twinserve_server.services.decode import Items, Limits
from twinserve_server.services.open_inference.decode import WantedOutput
from twinserve_server.services.tensors import NUMBERS, decode_tensors, outputs_of

_SMALL: Final = ("INT8", "INT16", "INT32")
_SMALL_UNSIGNED: Final = ("UINT8", "UINT16", "UINT32")


def decode_named(request: pb.ModelInferRequest, served: ServedModel, limits: Limits) -> Items:
    """The items of a request to a model with a signature.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
    """
    raw = request.raw_input_contents
    if raw and (len(raw) != len(request.inputs) or any(tensor.HasField("contents") for tensor in request.inputs)):
        raise InvalidInputError.of(
            "raw_input_contents",
            f"holds {len(raw)} entries for {len(request.inputs)} inputs; send one for each, and no contents beside",
        )
    given: dict[str, predict_pb2.Tensor] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in given:
            raise InvalidInputError.of(f"inputs[{index}].name", f"{shown(tensor.name)} is there twice")
        if "shared_memory_region" in tensor.parameters:
            raise InvalidInputError.of(f"inputs[{index}].parameters", "shared memory is not supported")
        datatype = next((known for known in DATATYPES if known == tensor.datatype), None)
        if datatype is None:
            raise InvalidInputError.of(
                f"inputs[{index}].datatype", f"is {shown(tensor.datatype)}; served are {', '.join(DATATYPES)}"
            )
        data = raw[index] if raw else _typed(index, tensor, datatype)
        given[tensor.name] = predict_pb2.Tensor(datatype=NUMBERS[datatype], shape=tensor.shape, data=data)
    return decode_tensors(given, served, limits)


def encode_named(call: Call, job: Job, name: str, wanted: tuple[WantedOutput, ...]) -> bytes:
    """The wire bytes of the ``ModelInferResponse`` of a call that ended well with tensors."""
    version, found = call.served.version, {spec.name: (spec, array) for spec, array in outputs_of(call, job)}
    numbers = zip(TIMING, timing_of(call, job), strict=True)
    texts = {"variant": call.variant, "route": call.route, "sha256": version.variants[call.variant].sha256}
    chosen = [found[output.name] for output in wanted]
    return pb.ModelInferResponse(
        model_name=name,
        model_version=version.version,
        id=call.request_id,
        parameters={
            **{key: pb.InferParameter(string_param=value) for key, value in texts.items()},
            **{key: pb.InferParameter(int64_param=value) for key, value in numbers},
        },
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape)
            for spec, array in chosen
        ],
        raw_output_contents=[array.tobytes() for _, array in chosen],
    ).SerializeToString()


def _typed(index: int, tensor: pb.ModelInferRequest.InferInputTensor, datatype: DataType) -> bytes:
    field = f"inputs[{index}].contents"
    if datatype == "FP16":
        raise InvalidInputError.of(field, "have no field for FP16; send raw_input_contents")
    small = "int" if datatype in _SMALL else "uint" if datatype in _SMALL_UNSIGNED else datatype.lower()
    wanted = f"{small}_contents"
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if [name for name in filled if name != wanted]:
        raise InvalidInputError.of(field, f"{datatype} elements travel in {wanted}; {', '.join(filled)} is set")
    elements = getattr(tensor.contents, wanted)
    low, high = EVERY_VALUE[datatype]
    if small in ("int", "uint") and len(elements) and not low <= min(elements) <= max(elements) <= high:
        raise InvalidInputError.of(f"{field}.{wanted}", f"holds values beyond {datatype}, {low:g}..{high:g}")
    return np.array(elements, DTYPES[datatype]).tobytes()
