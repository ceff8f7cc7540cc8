"""Check a request's tensor against the model's signature. The pixels are not copied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.datatypes import EVERY_VALUE, ITEM_SIZE, DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.layout import Form
from twinserve_server.errors import InvalidInputError, OutOfRangeError, shown
from twinserve_server.rpc.status import MAX_ID_BYTES

_DATATYPES: Final[dict[int, DataType]] = {
    predict_pb2.DATA_TYPE_UINT8: "UINT8",
    predict_pb2.DATA_TYPE_FP32: "FP32",
}
#: Rounding in a division by 255 or 127.5 may exceed a range by this fraction of it.
_ROUNDING: Final = 1e-5
MAX_KEY_BYTES: Final = 1024
#: How errors name the pixels of a PredictRequest.
DATA_FIELD: Final = "input.data"

#: Upper bound in bytes for an answer without its rows: names, hash, times, request id.
ANSWER_HEAD_BYTES: Final = 4096
#: The longest varint of a class.
CLASS_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request.

    Attributes:
        request_images: items in one request.
        message_bytes: of a request and of its answer, encoded.
    """

    request_images: int = 1024
    message_bytes: int = 64 << 20

    def answer_images(self, version: ModelVersion, answers: int = 1) -> int:
        """The most items of which ``answers`` variants' answers fit into one message."""
        return (self.message_bytes // answers - ANSWER_HEAD_BYTES) // (4 * version.classes + CLASS_BYTES)


@dataclass(frozen=True, slots=True)
class Items:
    """Checked input: ``count`` items of ``datatype``, row-major, little-endian."""

    data: bytes
    datatype: Form
    count: int


def decode_input(tensor: predict_pb2.Tensor, version: ModelVersion, limits: Limits, answers: int = 1) -> Items:
    """Check ``tensor`` against the model's signature.

    Args:
        tensor: shape (item) or (N, item); exactly product(shape) elements.
        version: states the item shape and the datatypes.
        limits: of one request and its answer.
        answers: how many variants will answer, in one message.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
    """
    datatype = _DATATYPES.get(tensor.datatype)
    if datatype is None or datatype not in version.datatypes:
        known = tensor.datatype in predict_pb2.DataType.values()
        found = datatype or (predict_pb2.DataType.Name(tensor.datatype) if known else "unknown")
        wanted = " or ".join(version.datatypes)
        raise InvalidInputError.of("input.datatype", f"is {found}; {version.model} takes {wanted}")
    return check_items(datatype, tuple(tensor.shape), tensor.data, version, limits, answers)


def check_items(
    datatype: DataType,
    shape: tuple[int, ...],
    data: bytes,
    version: ModelVersion,
    limits: Limits,
    answers: int = 1,
    shape_field: str = "input.shape",
    data_field: str = DATA_FIELD,
) -> Items:
    """Check one tensor of a datatype that the model takes; its fields are named as the request names them.

    Raises:
        InvalidInputError: names the field, its value and what is wanted.
        OutOfRangeError: a value lies outside of what the manifest states.
    """
    item = version.item_shape
    if shape == item:
        count = 1
    elif shape[1:] == item:
        count = shape[0]
    else:
        wanted = ", ".join(map(str, item))
        raise InvalidInputError.of(
            shape_field, f"is {shown(list(shape))}; {version.model} takes [{wanted}] or [N, {wanted}]"
        )
    if count < 1:
        raise InvalidInputError.of(shape_field, f"is {shown(list(shape))}: the batch is empty; send at least one item")
    if count > limits.request_images:
        raise InvalidInputError.of(
            shape_field, f"is {shown(list(shape))}: {count} items; the limit is {limits.request_images} per request"
        )
    if count > (most := limits.answer_images(version, answers)):
        raise InvalidInputError.of(
            shape_field,
            f"is {shown(list(shape))}: {answers} x {count} items x {version.classes} classes make an answer above the "
            f"limit of {limits.message_bytes} bytes a message; send {max(0, most)} items at most",
        )
    wanted_bytes = count * math.prod(item) * ITEM_SIZE[datatype]
    if len(data) != wanted_bytes:
        raise InvalidInputError.of(
            data_field, f"holds {len(data)} bytes; shape {shown(list(shape))} of {datatype} needs {wanted_bytes}"
        )
    if (bounds := bounds_to_check(version, datatype)) is not None:
        check_bytes(data, datatype, bounds, version.model, data_field)
    return Items(data, datatype, count)


def bounds_to_check(version: ModelVersion, datatype: DataType) -> tuple[float, float] | None:
    """The least and the greatest value that an input may hold; None: whatever it holds is good."""
    bounds = version.ranges.get(datatype, EVERY_VALUE[datatype])
    return bounds if datatype == "FP32" or bounds != EVERY_VALUE[datatype] else None


def check_bytes(
    data: bytes, datatype: DataType, bounds: tuple[float, float], model: str, field: str = DATA_FIELD
) -> None:
    """Check encoded values; see :func:`check_values`."""
    check_values(np.frombuffer(data, DTYPES[datatype]), bounds, model, field)


def check_values(values: npt.NDArray[Any], bounds: tuple[float, float], model: str, field: str) -> None:
    """Check values (one axis) against the least and the greatest that the model takes."""
    low, high = bounds
    slack = _ROUNDING * (high - low)
    # NaN fails both comparisons.
    if low - slack <= float(values.min()) and float(values.max()) <= high + slack:
        return
    if not np.isfinite(values).all():
        raise InvalidInputError.of(field, "holds NaN or infinity; every value must be finite")
    outside = (values < low - slack) | (values > high + slack)
    at = int(outside.argmax())
    raise OutOfRangeError.of(
        field,
        f"holds {values[at]:g} at element {at}; {model} takes {low:g} to {high:g}, and {int(outside.sum())} of "
        f"{len(values)} values lie outside; scale them as for its training",
    )


def check_request_id(value: str) -> None:
    """Check a caller's request id.

    Raises:
        InvalidInputError: it is too long, or cannot travel in gRPC metadata, which are ASCII.
    """
    check_text("request_id", value, MAX_ID_BYTES)
    if not (value.isascii() and value.isprintable()):
        raise InvalidInputError.of("request_id", f"{shown(value)} holds characters other than printable ASCII")


def check_text(field: str, value: str, limit: int) -> None:
    """Check the length of a free text field in UTF-8.

    Raises:
        InvalidInputError: it is longer than ``limit`` bytes.
    """
    if len(value) * 4 > limit and (size := len(value.encode())) > limit:
        raise InvalidInputError.of(field, f"holds {size} bytes; the limit is {limit}")
