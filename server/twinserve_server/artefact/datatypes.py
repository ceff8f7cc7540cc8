"""The datatypes of the Open Inference Protocol that numpy supports (``dtypes``), and their ranges."""

from __future__ import annotations

import sys
from typing import Final, Literal, get_args

DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"
]
DATATYPES: Final[tuple[DataType, ...]] = get_args(DataType)

#: Bytes per element.
ITEM_SIZE: Final[dict[DataType, int]] = dict(zip(DATATYPES, (1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8), strict=True))
#: The datatypes of pictures; a model that takes one can be sent the other.
PIXEL_TYPES: Final[tuple[DataType, ...]] = ("UINT8", "FP32")
#: The largest finite value (IEEE 754).
_GREATEST: Final[dict[DataType, float]] = {
    "FP16": 65504.0,
    "FP32": float.fromhex("0x1.fffffep+127"),
    "FP64": sys.float_info.max,
}


def bounds(datatype: DataType) -> tuple[float, float]:
    """The smallest and largest finite value of a datatype."""
    if datatype == "BOOL":
        return 0, 1
    if datatype in _GREATEST:
        return -_GREATEST[datatype], _GREATEST[datatype]
    bits = 8 * ITEM_SIZE[datatype]
    return (0, 2**bits - 1) if datatype.startswith("UINT") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


#: The smallest and largest value of each datatype.
EVERY_VALUE: Final[dict[DataType, tuple[float, float]]] = {name: bounds(name) for name in DATATYPES}
#: Default ranges if the manifest states none: every byte value, and the usual range of pictures.
DEFAULT_RANGES: Final[dict[DataType, tuple[float, float]]] = {"UINT8": (0, 255), "FP32": (0, 1)}
