"""Convert items whose datatype is not the artefact's.

Both datatypes represent the same values, each in its own range (the manifest's ``input.ranges``): grey level 255 is
1.0.
"""

from __future__ import annotations

import numpy as np

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.job import Buffer


def convert(data: Buffer, source: DataType, target: DataType, version: ModelVersion) -> bytes:
    """``data`` (elements of ``source``) as elements of ``target``, mapped linearly from range to range.

    Whole numbers are rounded to the nearest; what lies outside the range is cut off.
    """
    least, greatest = version.range_of(source)
    low, high = version.range_of(target)
    values = np.frombuffer(data, DTYPES[source]).astype(np.float32)
    # Division, not multiplication by the inverse: the last bit then equals that of a graph that divides.
    values = (values - np.float32(least)) / np.float32((greatest - least) / (high - low)) + np.float32(low)
    if target == "UINT8":
        values = np.rint(values).clip(low, high)
    return values.astype(DTYPES[target]).tobytes()
