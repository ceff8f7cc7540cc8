"""The datatypes as numpy dtypes. A separate module because the supervisor reads manifests without numpy."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from twinserve_server.artefact.datatypes import DATATYPES, DataType

_CODES: Final = ("?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8")
#: Elements on the wire and in memory are little-endian.
DTYPES: Final[dict[DataType, np.dtype[Any]]] = {
    name: np.dtype(code) for name, code in zip(DATATYPES, _CODES, strict=True)
}
