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

from twinserve_client import ModelInfo, Prediction
from twinserve_client._named import DTYPES
from twinserve_rest.errors import RequestError
from twinserve_rest.messages import InferenceRequest, RequestInput, ResponseOutput

PROBABILITIES: Final = "probabilities"
CLASSES: Final = "classes"
#: Of a classifier.
OUTPUTS: Final = (PROBABILITIES, CLASSES)
BINARY_SIZE: Final = "binary_data_size"

Array = npt.NDArray[Any]


def accepted(info: ModelInfo) -> dict[str, tuple[str, ...]]:
    """The datatypes that each input of a model takes, the preferred first."""
    if info.datatypes:
        return {info.inputs[0].name if info.inputs else "input": info.datatypes}
    return {tensor.name: (tensor.datatype,) for tensor in info.inputs}


def output_names(info: ModelInfo) -> tuple[str, ...]:
    """What an answer of a model holds."""
    return OUTPUTS if info.labels else tuple(tensor.name for tensor in info.outputs)


def input_arrays(request: InferenceRequest, binary: bytes, info: ModelInfo) -> dict[str, Array]:
    """The inputs of a request by name.

    Args:
        request: the JSON part.
        binary: what follows it: the elements of those inputs that say so, in their order.
        info: what the model takes.

    Raises:
        RequestError: names the field and what is wanted.
    """
    wanted = accepted(info)
    if len(request.inputs) != len(wanted):
        raise RequestError(f"inputs: expected {len(wanted)} inputs but got {len(request.inputs)}")
    arrays: dict[str, Array] = {}
    rest = memoryview(binary)
    for index, tensor in enumerate(request.inputs):
        where = f"inputs[{index}]"
        if tensor.name not in wanted or tensor.name in arrays:
            names = ", ".join(map(repr, wanted))
            raise RequestError(f"{where}.name: unexpected inference input {tensor.name!r}; the model takes {names}")
        if tensor.datatype not in wanted[tensor.name]:
            raise RequestError(
                f"{where}.datatype: {tensor.datatype!r} is not one of {', '.join(wanted[tensor.name])}, which "
                f"{tensor.name} takes"
            )
        array, used = _array(tensor, rest, where)
        arrays[tensor.name], rest = array, rest[used:]
    if rest:
        raise RequestError(
            f"inputs[0].parameters.{BINARY_SIZE}: is missing, or too small: {len(rest)} bytes of {len(binary)} belong "
            "to no input"
        )
    return arrays


def _array(tensor: RequestInput, binary: memoryview, where: str) -> tuple[Array, int]:
    """One input, and how many of the binary bytes are its own."""
    dtype, elements = DTYPES[tensor.datatype], math.prod(tensor.shape)
    size = _binary_size(tensor, where)
    if size is None:
        array = _from_json(tensor, dtype, where)
        if array.size != elements:
            raise RequestError(f"{where}.data: holds {array.size} elements; shape {tensor.shape} needs {elements}")
        return array.reshape(tensor.shape), 0
    if tensor.data is not None:
        raise RequestError(f"{where}.data: must be absent where the elements follow in binary")
    if size > len(binary) or size != elements * dtype.itemsize:
        raise RequestError(
            f"{where}.parameters.{BINARY_SIZE}: is {size}; {len(binary)} bytes follow, and shape {tensor.shape} "
            f"of {tensor.datatype} needs {elements * dtype.itemsize}"
        )
    return np.frombuffer(binary[:size], dtype).reshape(tensor.shape), size


def _binary_size(tensor: RequestInput, where: str) -> int | None:
    size = tensor.parameters.get(BINARY_SIZE)
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise RequestError(f"{where}.parameters.{BINARY_SIZE}: {size!r} is not a number of bytes")
    return size


def _from_json(tensor: RequestInput, dtype: np.dtype[Any], where: str) -> Array:
    if tensor.data is None:
        raise RequestError(f"{where}.data: is missing")
    try:
        array = np.asarray(tensor.data)
    except (ValueError, OverflowError):
        raise RequestError(f"{where}.data: the nested lists differ in length") from None
    if array.size == 0:
        return np.empty(array.shape, dtype)
    kinds = {"b": "b", "f": "iuf"}.get(dtype.kind, "iu")
    if array.dtype.kind not in kinds:
        raise RequestError(f"{where}.data: holds values that are not {tensor.datatype}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise RequestError(f"{where}.data: holds values outside {limits.min}..{limits.max}")
    with np.errstate(over="ignore"):
        return array.astype(dtype).ravel()


def wanted_outputs(request: InferenceRequest, names: Sequence[str]) -> list[tuple[str, bool]]:
    """Name of each output of the answer, and whether its elements go in binary.

    Args:
        request: the JSON part.
        names: what an answer of the model holds.

    Raises:
        RequestError: an output that the model does not have.
    """
    everything = request.parameters.get("binary_data_output", False) is True
    if not request.outputs:
        return [(name, everything) for name in names]
    wanted = []
    for index, output in enumerate(request.outputs):
        if output.name not in names:
            raise RequestError(
                f"outputs[{index}].name: unexpected inference output {output.name!r}; there are {', '.join(names)}"
            )
        if output.parameters.get("classification"):
            raise RequestError(f"outputs[{index}].parameters.classification: is supported over gRPC only")
        wanted.append((output.name, output.parameters.get("binary_data", everything) is True))
    return wanted


def output_tensors(prediction: Prediction, wanted: Sequence[tuple[str, bool]]) -> tuple[list[ResponseOutput], bytes]:
    """The outputs of an answer, and the elements of those that go in binary."""
    arrays: dict[str, Array] = dict(prediction.outputs) or {
        PROBABILITIES: prediction.probabilities.astype("<f4", copy=False),
        CLASSES: prediction.classes.astype("<u4")[:, None],
    }
    outputs, tail = [], []
    for name, binary in wanted:
        array = arrays[name]
        datatype = next(known for known, dtype in DTYPES.items() if dtype == array.dtype)
        output = ResponseOutput(name=name, datatype=datatype, shape=list(array.shape))
        if binary:
            elements = array.tobytes()
            output.parameters = {BINARY_SIZE: len(elements)}
            tail.append(elements)
        else:
            # A 16- or 32-bit float as the shortest decimal that reads back as the same value.
            short = array.dtype.kind == "f" and array.dtype.itemsize < 8
            output.data = [float(str(value)) for value in array.ravel()] if short else array.ravel().tolist()
        outputs.append(output)
    return outputs, b"".join(tail)
