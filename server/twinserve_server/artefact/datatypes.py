"""The datatypes of the Open Inference Protocol that numpy has, and what each of them can hold."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np

DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
DATATYPES: Final[tuple[DataType, ...]] = get_args(DataType)

_CODES: Final = ("?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8")
#: How elements lie on the wire and in memory: little-endian.
DTYPES: Final[dict[DataType, np.dtype[Any]]] = {
    name: np.dtype(code) for name, code in zip(DATATYPES, _CODES, strict=True)
}
ITEM_SIZE: Final[dict[DataType, int]] = {name: dtype.itemsize for name, dtype in DTYPES.items()}
#: What pictures come in; a model that takes one of the two can be sent the other.
PIXEL_TYPES: Final[tuple[DataType, ...]] = ("UINT8", "FP32")


def bounds(datatype: DataType) -> tuple[float, float]:
    """The least and the greatest finite value of a datatype."""
    dtype = DTYPES[datatype]
    if dtype.kind == "b":
        return 0, 1
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return (float(info.min), float(info.max)) if dtype.kind == "f" else (int(info.min), int(info.max))


#: The least and the greatest value of each datatype.
EVERY_VALUE: Final[dict[DataType, tuple[float, float]]] = {name: bounds(name) for name in DATATYPES}
#: Where a manifest states no range: every byte, and what pictures usually become.
DEFAULT_RANGES: Final[dict[DataType, tuple[float, float]]] = {"UINT8": (0, 255), "FP32": (0, 1)}
