"""Named tensors: from arrays to protobuf and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from twinserve.v1 import predict_pb2
from twinserve_client._arguments import pairs, shown, text
from twinserve_client._tensor import MAX_MESSAGE_BYTES, as_array
from twinserve_client.errors import InternalError, InvalidInputError
from twinserve_client.types import ModelInfo

_CODES: Final = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
#: numpy's dtype by the protocol's datatype name.
DTYPES: Final[dict[str, np.dtype[Any]]] = {name: np.dtype(code) for name, code in _CODES.items()}
NAMES: Final[dict[int, str]] = {predict_pb2.DataType.Value(f"DATA_TYPE_{name}"): name for name in DTYPES}


def encode_named(inputs: Mapping[str, object], info: ModelInfo | None) -> dict[str, predict_pb2.Tensor]:
    """Encode arrays by name, each converted to the model's datatype if it is of the same kind.

    Raises:
        InvalidInputError: one cannot be sent, or is of a different kind than the model takes. Only the server can tell
            whether the shapes suit the model.
    """
    wanted = {} if info is None else {tensor.name: tensor.datatype for tensor in info.inputs}
    tensors = {}
    for name, value in pairs("inputs", inputs, InvalidInputError):
        if not isinstance(name, str):
            raise InvalidInputError.of("inputs", f"has the key {shown(name)}; give names")
        text("inputs", name)  # rejects what UTF-8 cannot encode
        field = f"inputs[{name}]"
        array = _cast(field, as_array(field, value), wanted.get(name))
        datatype = next((known for known, dtype in DTYPES.items() if dtype == array.dtype), None)
        if datatype is None:
            raise InvalidInputError.of(f"{field}.datatype", f"is {array.dtype}; only numbers and booleans can be sent")
        tensors[name] = predict_pb2.Tensor(
            datatype=predict_pb2.DataType.Value(f"DATA_TYPE_{datatype}"), shape=array.shape, data=array.tobytes()
        )
    if sum(len(tensor.data) for tensor in tensors.values()) >= MAX_MESSAGE_BYTES:
        raise InvalidInputError.of("inputs", f"a message holds less than {MAX_MESSAGE_BYTES:,} bytes; send fewer items")
    return tensors


def decode_named(response: predict_pb2.PredictResponse) -> dict[str, npt.NDArray[Any]]:
    """The outputs of a response by name, as read-only views of the received buffer.

    Raises:
        InternalError: the shape and data of one contradict each other.
    """
    outputs = {}
    for name, tensor in response.outputs.items():
        try:
            dtype = DTYPES[NAMES[tensor.datatype]]
            outputs[name] = np.frombuffer(tensor.data, dtype).reshape(tuple(tensor.shape))
        except (KeyError, ValueError) as error:
            raise InternalError(
                f"the output {name} cannot be read ({error})",
                code=grpc.StatusCode.DATA_LOSS,
                request_id=response.request_id,
            ) from None
    return outputs


def _cast(field: str, array: npt.NDArray[Any], datatype: str | None) -> npt.NDArray[Any]:
    if datatype not in DTYPES or array.dtype == DTYPES[datatype]:
        return array
    dtype = DTYPES[datatype]
    if dtype.kind == "f" and array.dtype.kind in "fiu":
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(dtype)
    if dtype.kind in "iu" and array.dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
            raise InvalidInputError.of(f"{field}.data", f"holds values beyond {datatype}, {limits.min}..{limits.max}")
        return array.astype(dtype)
    raise InvalidInputError.of(f"{field}.datatype", f"is {array.dtype}; the model takes {datatype}")
