"""Check a ``ModelInferRequest`` against the model's signature. Raw contents are not copied."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.errors import InvalidInputError, shown
from twinserve_server.services.decode import Items, Limits, check_items
from twinserve_server.services.open_inference.names import OUTPUTS, PROBABILITIES

#: The field of InferTensorContents that carries a datatype.
_CONTENTS: Final[dict[DataType, str]] = {"UINT8": "uint_contents", "FP32": "fp32_contents"}
#: Tensor parameters by which a client refers to memory shared with the server.
_SHARED_MEMORY: Final = "shared_memory_region"
#: How errors name the contents of the one input.
DATA_FIELD: Final = "inputs[0]"
_CLASSIFICATION: Final = "classification"


class WantedOutput(NamedTuple):
    """One output of the answer; ``top``: so many classes in words instead of numbers, 0: numbers."""

    name: str
    top: int = 0


ALL_OUTPUTS: Final = tuple(WantedOutput(name) for name in OUTPUTS)


def decode_items(request: pb.ModelInferRequest, version: ModelVersion, limits: Limits) -> Items:
    """The items of a request.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
    """
    inputs, raw = request.inputs, request.raw_input_contents
    if len(inputs) != 1:
        raise InvalidInputError.of(
            "inputs", f"expected 1 inputs but got {len(inputs)} inputs for model '{request.model_name}'"
        )
    tensor = inputs[0]
    if tensor.name != version.input_name:
        raise InvalidInputError.of(
            "inputs[0].name",
            f"unexpected inference input {shown(tensor.name)} for model '{request.model_name}'; "
            f"it takes '{version.input_name}'",
        )
    if _SHARED_MEMORY in tensor.parameters:
        raise InvalidInputError.of("inputs[0].parameters", "shared memory is not supported; send the contents")
    datatype = next((known for known in version.datatypes if known == tensor.datatype), None)
    if datatype is None:
        raise InvalidInputError.of(
            "inputs[0].datatype",
            f"inference input '{version.input_name}' data-type is {shown(tensor.datatype)}, but model "
            f"'{request.model_name}' expects {' or '.join(version.datatypes)}",
        )
    if not raw:
        data = _typed(tensor, datatype)
    elif len(raw) != 1 or tensor.HasField("contents"):
        raise InvalidInputError.of(
            "raw_input_contents",
            f"holds {len(raw)} entries for 1 input; send one for each input, and no contents beside them",
        )
    else:
        data = raw[0]
    return check_items(datatype, tuple(tensor.shape), data, version, limits, 1, "inputs[0].shape", DATA_FIELD)


def _typed(tensor: pb.ModelInferRequest.InferInputTensor, datatype: DataType) -> bytes:
    field = _CONTENTS[datatype]
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if [name for name in filled if name != field]:
        raise InvalidInputError.of(
            "inputs[0].contents", f"{datatype} elements travel in {field}; {', '.join(filled)} is set"
        )
    values = np.array(getattr(tensor.contents, field), np.uint32 if datatype == "UINT8" else np.float32)
    if datatype == "UINT8" and values.size and values.max() > 255:
        raise InvalidInputError.of("inputs[0].contents.uint_contents", f"holds {values.max()}; UINT8 ends at 255")
    return values.astype(DTYPES[datatype]).tobytes()


def wanted_outputs(request: pb.ModelInferRequest, version: ModelVersion) -> tuple[WantedOutput, ...]:
    """The outputs to answer with, in the order asked for.

    Raises:
        InvalidInputError: names an output that the model does not have, or asks for what it cannot give.
    """
    names = OUTPUTS if version.classes else tuple(spec.name for spec in version.outputs)
    if not request.outputs:
        return ALL_OUTPUTS if version.classes else tuple(map(WantedOutput, names))
    wanted = []
    for index, output in enumerate(request.outputs):
        if output.name not in names:
            raise InvalidInputError.of(
                f"outputs[{index}].name",
                f"unexpected inference output {shown(output.name)} for model '{request.model_name}'; "
                f"it has {', '.join(names)}",
            )
        if _SHARED_MEMORY in output.parameters:
            raise InvalidInputError.of(f"outputs[{index}].parameters", "shared memory is not supported")
        top = 0
        if _CLASSIFICATION in output.parameters:
            top = min(output.parameters[_CLASSIFICATION].int64_param, version.classes)
            if top < 1 or output.name != PROBABILITIES:
                raise InvalidInputError.of(
                    f"outputs[{index}].parameters[{_CLASSIFICATION}]",
                    f"must be at least 1, and of output '{PROBABILITIES}'",
                )
        wanted.append(WantedOutput(output.name, top))
    if len({output.name for output in wanted}) != len(wanted):
        raise InvalidInputError.of("outputs", "names an output twice")
    return tuple(wanted)


def text_parameter(request: pb.ModelInferRequest, name: str) -> str:
    """A request parameter that is a string; empty: not given.

    Raises:
        InvalidInputError: it is of another type.
    """
    if name not in request.parameters:
        return ""
    value = request.parameters[name]
    if value.WhichOneof("parameter_choice") != "string_param":
        raise InvalidInputError.of(f"parameters[{name}]", "must be a string")
    return value.string_param
