"""Images on their way to the wire: what is taken, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinserve.v1 import predict_pb2
from twinserve_client import FieldViolation, InvalidInputError
from twinserve_client._tensor import MAX_MESSAGE_BYTES, encode_tensor

UINT8, FP32 = predict_pb2.DATA_TYPE_UINT8, predict_pb2.DATA_TYPE_FP32


@pytest.mark.parametrize(
    ("images", "datatype", "dtype"),
    [
        (np.arange(6, dtype=np.uint8).reshape(2, 3), UINT8, "u1"),
        (np.arange(6, dtype=np.float32).reshape(2, 3), FP32, "<f4"),
        (np.arange(6, dtype=np.float64).reshape(2, 3), FP32, "<f4"),
        (np.arange(6, dtype=np.float16).reshape(2, 3), FP32, "<f4"),
        (np.arange(6, dtype=">f4").reshape(2, 3), FP32, "<f4"),
        (np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)), UINT8, "u1"),
        (np.arange(12, dtype=np.uint8).reshape(2, 6)[:, ::2], UINT8, "u1"),
        ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], FP32, "<f4"),
    ],
    ids=["uint8", "float32", "float64", "float16", "big-endian", "fortran", "strided", "lists"],
)
def test_elements_travel_row_major_and_little_endian(images: Any, datatype: int, dtype: str) -> None:
    tensor = encode_tensor(images)
    assert tensor.datatype == datatype
    assert list(tensor.shape) == [2, 3]
    np.testing.assert_array_equal(np.frombuffer(tensor.data, dtype).reshape(2, 3), np.asarray(images))


@pytest.mark.parametrize(
    ("images", "field", "message"),
    [
        (np.zeros((28, 28), np.int64), "input.datatype", r"is int64; wanted are uint8 .* images\.astype\(np\.uint8\)"),
        (np.zeros((28, 28), bool), "input.datatype", "is bool"),
        (np.zeros((28, 28), complex), "input.datatype", "is complex128"),
        ("seven.png", "input.datatype", "is <U9"),
        (None, "input.datatype", "is object"),
        (np.zeros((0, 28, 28), np.uint8), "input.shape", r"is \[0, 28, 28\]: the batch is empty; send at least one"),
        ([], "input.shape", r"is \[0\]: the batch is empty"),
        (np.uint8(7), "input.shape", r"is \[\]: a single number is not an image"),
        ([[1.0], [1.0, 2.0]], "input", "cannot be converted to an array"),
        (
            np.broadcast_to(np.uint8(0), (MAX_MESSAGE_BYTES // 784 + 1, 28, 28)),
            "input.data",
            r"holds 67,109,616 bytes; a message holds less than 67,108,864; send fewer images",
        ),
    ],
    ids=["int64", "bool", "complex", "text", "None", "no-images", "empty-list", "number", "ragged", "huge"],
)
def test_what_cannot_be_an_image_is_named(images: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{field}: {message}") as caught:
        encode_tensor(images)
    (violation,) = caught.value.violations
    assert isinstance(violation, FieldViolation)
    assert violation.field == field
    assert isinstance(caught.value, ValueError)
