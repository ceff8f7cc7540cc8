"""What a manifest's datatypes are is what numpy makes of them, though the supervisor knows it without numpy."""

from __future__ import annotations

import numpy as np
import pytest

from twinserve_server.artefact.datatypes import DATATYPES, EVERY_VALUE, ITEM_SIZE, DataType
from twinserve_server.artefact.dtypes import DTYPES


@pytest.mark.parametrize("datatype", DATATYPES)
def test_sizes_and_bounds_are_those_of_numpy(datatype: DataType) -> None:
    dtype = DTYPES[datatype]
    assert ITEM_SIZE[datatype] == dtype.itemsize
    if dtype.kind == "b":
        assert EVERY_VALUE[datatype] == (0, 1)
    else:
        info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        assert EVERY_VALUE[datatype] == (info.min, info.max)
