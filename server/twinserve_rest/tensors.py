"""Tensors between JSON or the binary extension and numpy.

The binary extension puts the elements after the JSON, little-endian and row-major, in the order of the tensors; the
header ``Inference-Header-Content-Length`` says where the JSON ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_client import Prediction
from twinserve_rest.errors import RequestError
from twinserve_rest.messages import InferenceRequest, RequestInput, ResponseOutput

INPUT: Final = "input"
PROBABILITIES: Final = "probabilities"
CLASSES: Final = "classes"
OUTPUTS: Final = (PROBABILITIES, CLASSES)
DTYPES: Final[dict[str, np.dtype[Any]]] = {"UINT8": np.dtype("<u1"), "FP32": np.dtype("<f4")}
BINARY_SIZE: Final = "binary_data_size"

Array = npt.NDArray[Any]


def input_array(request: InferenceRequest, binary: bytes) -> Array:
    """The one input of a request.

    Args:
        request: the JSON part.
        binary: what follows it.

    Raises:
        RequestError: names the field and what is wanted.
    """
    if len(request.inputs) != 1:
        raise RequestError(f"inputs: expected 1 inputs but got {len(request.inputs)}")
    tensor = request.inputs[0]
    if tensor.name != INPUT:
        raise RequestError(f"inputs[0].name: unexpected inference input {tensor.name!r}; the model takes {INPUT!r}")
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise RequestError(f"inputs[0].datatype: {tensor.datatype!r} is not one of {', '.join(DTYPES)}")
    size = _binary_size(tensor)
    elements = math.prod(tensor.shape)
    if size is None:
        if binary:
            raise RequestError(f"inputs[0].parameters.{BINARY_SIZE}: is missing, but {len(binary)} bytes follow")
        array = _from_json(tensor, dtype)
    else:
        if tensor.data is not None:
            raise RequestError("inputs[0].data: must be absent where the elements follow in binary")
        if size != len(binary) or size != elements * dtype.itemsize:
            raise RequestError(
                f"inputs[0].parameters.{BINARY_SIZE}: is {size}; {len(binary)} bytes follow, and shape {tensor.shape} "
                f"of {tensor.datatype} needs {elements * dtype.itemsize}"
            )
        array = np.frombuffer(binary, dtype)
    if array.size != elements:
        raise RequestError(f"inputs[0].data: holds {array.size} elements; shape {tensor.shape} needs {elements}")
    return array.reshape(tensor.shape)


def _binary_size(tensor: RequestInput) -> int | None:
    size = tensor.parameters.get(BINARY_SIZE)
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise RequestError(f"inputs[0].parameters.{BINARY_SIZE}: {size!r} is not a number of bytes")
    return size


def _from_json(tensor: RequestInput, dtype: np.dtype[Any]) -> Array:
    if tensor.data is None:
        raise RequestError("inputs[0].data: is missing")
    try:
        array = np.asarray(tensor.data)
    except ValueError:
        raise RequestError("inputs[0].data: the nested lists differ in length") from None
    if array.size == 0:
        return np.empty(array.shape, dtype)
    if array.dtype.kind not in "iuf" or (dtype.kind == "u" and array.dtype.kind == "f"):
        raise RequestError(f"inputs[0].data: holds values that are not {tensor.datatype}")
    if dtype.kind == "u" and (array.min() < 0 or array.max() > np.iinfo(dtype).max):
        raise RequestError(f"inputs[0].data: holds values outside 0..{np.iinfo(dtype).max}")
    with np.errstate(over="ignore"):
        return array.astype(dtype).ravel()


def wanted_outputs(request: InferenceRequest) -> list[tuple[str, bool]]:
    """Name of each output of the answer, and whether its elements go in binary.

    Raises:
        RequestError: an output that the model does not have.
    """
    everything = request.parameters.get("binary_data_output", False) is True
    if not request.outputs:
        return [(name, everything) for name in OUTPUTS]
    wanted = []
    for index, output in enumerate(request.outputs):
        if output.name not in OUTPUTS:
            raise RequestError(
                f"outputs[{index}].name: unexpected inference output {output.name!r}; there are {', '.join(OUTPUTS)}"
            )
        if output.parameters.get("classification"):
            raise RequestError(f"outputs[{index}].parameters.classification: is supported over gRPC only")
        wanted.append((output.name, output.parameters.get("binary_data", everything) is True))
    return wanted


def output_tensors(prediction: Prediction, wanted: Sequence[tuple[str, bool]]) -> tuple[list[ResponseOutput], bytes]:
    """The outputs of an answer, and the elements of those that go in binary."""
    arrays: dict[str, tuple[str, Array]] = {
        PROBABILITIES: ("FP32", prediction.probabilities.astype("<f4", copy=False)),
        CLASSES: ("UINT32", prediction.classes.astype("<u4")[:, None]),
    }
    outputs, tail = [], []
    for name, binary in wanted:
        datatype, array = arrays[name]
        output = ResponseOutput(name=name, datatype=datatype, shape=list(array.shape))
        if binary:
            elements = array.tobytes()
            output.parameters = {BINARY_SIZE: len(elements)}
            tail.append(elements)
        else:
            # A float32 as the shortest decimal that reads back as the same float32.
            output.data = (
                [float(str(value)) for value in array.ravel()] if datatype == "FP32" else array.ravel().tolist()
            )
        outputs.append(output)
    return outputs, b"".join(tail)
