"""Encode images as a protobuf Tensor, checked before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from twinserve.v1 import predict_pb2
from twinserve_client.errors import FieldViolation, InvalidInputError

#: The largest message in bytes, in either direction; the server has the same limit.
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
#: Tolerance for rounding beyond the range, as a fraction of the range.
RANGE_SLACK: Final = 1e-5
#: The largest label that the protocol can carry.
MAX_LABEL: Final = 2**32 - 1

_UINT8: Final = np.dtype(np.uint8)
_FP32: Final = np.dtype("<f4")
_LARGEST: Final = float(np.finfo(np.float32).max)


def encode_tensor(images: object) -> predict_pb2.Tensor:
    """Encode ``images`` as a Tensor: uint8 unchanged, any floating-point type as FP32.

    Args:
        images: one image of the model's item shape, or N of them along a first axis: an array, nested lists, or a
            torch tensor (or a list of them), on any device and with or without gradients.

    Raises:
        InvalidInputError: not an array of numbers, a scalar, empty, an integer type other than uint8, masked values,
            values beyond FP32, or more bytes than a message may hold. Only the server can tell whether the shape suits
            the model.
    """
    array = images if type(images) is np.ndarray else as_array("input", images)
    dtype = array.dtype
    if dtype == _UINT8:
        datatype = predict_pb2.DATA_TYPE_UINT8
    elif dtype.kind == "f":
        datatype = predict_pb2.DATA_TYPE_FP32
        if dtype != _FP32:
            array = _as_fp32(array)
    else:
        raise InvalidInputError.of(
            "input.datatype",
            f"is {dtype}; wanted are uint8 (pixels 0..255) or floating point (in the model's range); "
            "convert first, for example images.astype(np.uint8)",
        )
    if array.size == 0 or array.ndim == 0:
        problem = "the batch is empty" if array.ndim else "a single number is not an image"
        raise InvalidInputError.of("input.shape", f"is {list(array.shape)}: {problem}; send at least one image")
    if array.nbytes >= MAX_MESSAGE_BYTES:
        raise InvalidInputError.of(
            "input.data",
            f"holds {array.nbytes:,} bytes; a message holds less than {MAX_MESSAGE_BYTES:,}; "
            "send fewer images at once, or use predict_stream",
        )
    return predict_pb2.Tensor(datatype=datatype, shape=array.shape, data=array.tobytes())


def encode_labels(labels: object) -> list[int]:
    """Encode class numbers, one per image.

    Raises:
        InvalidInputError: not a list of integers from 0 to ``MAX_LABEL``.
    """
    array = np.atleast_1d(as_array("labels", labels))
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.size == 0:
        found = f"are of type {array.dtype} and shape {list(array.shape)}"
        raise InvalidInputError.of("labels", f"{found}: no class numbers (integers from 0, one an image)")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > MAX_LABEL:
        raise InvalidInputError.of("labels", f"hold {low if low < 0 else high}: no class numbers (integers from 0)")
    numbers: list[int] = array.tolist()
    return numbers


def out_of_range(tensor: predict_pb2.Tensor, bounds: tuple[float, float]) -> InvalidInputError | None:
    """The error for an FP32 tensor with values outside ``bounds``; None if all are within."""
    values = np.frombuffer(tensor.data, _FP32)
    low, high = values.min(), values.max()
    slack = RANGE_SLACK * (bounds[1] - bounds[0])
    if bounds[0] - slack <= low and high <= bounds[1] + slack:
        return None
    if not np.isfinite(values).all():
        return InvalidInputError.of("input.data", "holds NaN or infinity; every value must be finite")
    hint = "; divide pixels of 0..255 by 255, or send them as uint8" if bounds[1] <= 1 and high > 16 else ""
    problem = f"lies within {low:g}..{high:g}; the model takes {bounds[0]:g}..{bounds[1]:g}{hint}"
    violation = FieldViolation("input.data", problem)
    return InvalidInputError(
        f"input.data: {problem}", code=grpc.StatusCode.OUT_OF_RANGE, violations=(violation,), reason="OUT_OF_RANGE"
    )


def as_array(name: str, value: object) -> npt.NDArray[Any]:
    """Convert ``value``, which may be a torch tensor, to an array.

    Raises:
        InvalidInputError: it cannot be converted; the message has the reason that numpy (or the value) gave.
    """
    try:
        array = np.asanyarray(_without_torch(value))
    except Exception as error:  # numpy calls the object's own methods, which can fail in any way
        raise InvalidInputError.of(name, f"cannot be converted to an array ({error})") from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise InvalidInputError.of(name, "contains masked values; fill them first, as with images.filled(0)")
        return np.asarray(array)
    return np.asarray(array)


def _without_torch(value: object) -> object:
    """Torch tensors, also in a list, as arrays. Does not import torch: whoever has a tensor has imported it."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return value
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().resolve_neg()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if isinstance(value, Sequence) and any(isinstance(item, torch.Tensor) for item in value):
        return [_without_torch(item) for item in value]
    return value


def _as_fp32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(_FP32)
    if array.dtype.itemsize > 4 and np.isinf(converted).any() and not np.isinf(array).any():
        raise InvalidInputError.of("input.data", f"holds values beyond FP32, whose largest is {_LARGEST:.3g}")
    return converted
