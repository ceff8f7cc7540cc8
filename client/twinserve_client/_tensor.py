"""Images as the contract's Tensor, checked before anything is sent."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from twinserve.v1 import predict_pb2
from twinserve_client.errors import InvalidInputError

#: The most that one message may hold, both ways; the server has the same limit.
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

_UINT8: Final = np.dtype(np.uint8)
_FP32: Final = np.dtype("<f4")


def encode_tensor(images: npt.ArrayLike) -> predict_pb2.Tensor:
    """``images`` as a Tensor: uint8 as it is, any floating point type as FP32.

    Args:
        images: one image of the model's item shape, or N of them along a first axis.

    Raises:
        InvalidInputError: not an array of numbers, no axis, no element, an integer type other than uint8, or more
            bytes than a message may hold. Whether the shape suits the model only the server knows.
    """
    array = _as_array(images)
    dtype = array.dtype
    if dtype == _UINT8:
        datatype = predict_pb2.DATA_TYPE_UINT8
    elif dtype.kind == "f":
        datatype = predict_pb2.DATA_TYPE_FP32
        if dtype != _FP32:
            array = array.astype(_FP32)
    else:
        raise InvalidInputError.of(
            "input.datatype",
            f"is {dtype}; wanted are uint8 (pixels 0..255) or floating point (in the model's range); "
            "convert first, for example images.astype(np.uint8)",
        )
    if array.size == 0 or array.ndim == 0:
        problem = "the batch is empty" if array.ndim else "a single number is no image"
        raise InvalidInputError.of("input.shape", f"is {list(array.shape)}: {problem}; send at least one image")
    if array.nbytes >= MAX_MESSAGE_BYTES:
        raise InvalidInputError.of(
            "input.data",
            f"holds {array.nbytes:,} bytes; a message holds less than {MAX_MESSAGE_BYTES:,}; "
            "send fewer images at once, or use predict_stream",
        )
    return predict_pb2.Tensor(datatype=datatype, shape=array.shape, data=array.tobytes())


def _as_array(images: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        return np.asarray(images)
    except (TypeError, ValueError) as error:
        raise InvalidInputError.of("input", f"cannot be made an array ({error})") from None
