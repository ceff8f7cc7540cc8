"""A request that differs from an earlier one in its pixels only is known without parsing; nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.services import skeletons
from twinserve_server.services.decode import Limits, decode_input
from twinserve_server.services.skeletons import Skeletons

VERSION = ModelVersion(
    "m", "1", (4, 4), ("UINT8", "FP32"), "probabilities", ("a", "b"), {"int8": Variant("int8", "int8.pt", "ab" * 32, 1)}
)
PIXELS = bytes(range(16))


def request(data: bytes = PIXELS, **fields: Any) -> predict_pb2.PredictRequest:
    tensor = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=[1, 4, 4], data=data)
    return predict_pb2.PredictRequest(**{"input": tensor, "variant": "int8", **fields})


def learnt(*messages: bytes, version: ModelVersion = VERSION) -> Skeletons:
    known = Skeletons()
    for raw in messages:
        parsed = predict_pb2.PredictRequest.FromString(raw)
        known.learn(raw, parsed, decode_input(parsed.input, version, Limits()), version)
    return known


@pytest.mark.parametrize("first", [PIXELS, bytes(16), b"\x10" * 16], ids=["all", "black", "like a length"])
def test_other_pixels_in_the_same_request_are_known(first: bytes) -> None:
    known = learnt(request(first).SerializeToString())
    other = bytes(range(100, 116))
    found = known.find(request(other).SerializeToString())
    assert found is not None
    skeleton, data = found
    assert data == other
    assert (skeleton.variant, skeleton.datatype, skeleton.count, skeleton.bounds) == ("int8", "UINT8", 1, None)


@pytest.mark.parametrize(
    "other",
    [
        request(variant="fp32"),
        request(model="m"),
        request(request_id="mine"),
        request(routing_key="user-7"),
        predict_pb2.PredictRequest(
            variant="int8", input=predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=[2, 2, 4], data=PIXELS)
        ),
    ],
    ids=["variant", "model", "request id", "routing key", "shape"],
)
def test_whatever_else_differs_is_parsed(other: predict_pb2.PredictRequest) -> None:
    assert learnt(request().SerializeToString()).find(other.SerializeToString()) is None


@pytest.mark.parametrize(
    "named", [request(request_id="x"), request(routing_key="x")], ids=["request id", "routing key"]
)
def test_what_names_itself_is_not_remembered(named: predict_pb2.PredictRequest) -> None:
    raw = named.SerializeToString()
    assert learnt(raw).find(raw) is None


def test_bytes_that_only_look_like_the_pixels_are_not_taken_for_them() -> None:
    # The pixels stand twice, the second time in a field that nobody knows.
    raw = request().SerializeToString() + b"\xfa\x07\x12\x1a\x10" + PIXELS
    assert learnt(raw).find(raw) is None
    # Two inputs are merged, so that the pixels of the first are not those that are meant.
    again = predict_pb2.PredictRequest(input=predict_pb2.Tensor(data=PIXELS))
    raw = request(bytes(16)).SerializeToString() + again.SerializeToString()
    found = learnt(raw).find(raw)
    assert found is not None
    assert found[1] == PIXELS


def test_values_whose_range_is_stated_are_to_be_checked() -> None:
    tensor = predict_pb2.Tensor(
        datatype=predict_pb2.DATA_TYPE_FP32, shape=[4, 4], data=np.full(16, 0.5, "<f4").tobytes()
    )
    raw = predict_pb2.PredictRequest(input=tensor).SerializeToString()
    found = learnt(raw, version=replace(VERSION, ranges={"FP32": (0.0, 1.0)})).find(raw)
    assert found is not None
    assert found[0].bounds == (0.0, 1.0)


def test_two_layouts_of_one_length_are_both_known() -> None:
    before = request().SerializeToString()
    tensor = before[: before.rindex(b"int8") - 2] if before.endswith(b"int8") else before[before.index(b"int8") + 4 :]
    variant = before.replace(tensor, b"")
    turned = variant + tensor if before.startswith(tensor) else tensor + variant
    assert turned != before
    known = learnt(before, turned)
    assert known.find(before) is not None
    assert known.find(turned) is not None


def test_the_oldest_of_too_many_kinds_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeletons, "MOST", 2)
    first, second, third = (
        predict_pb2.PredictRequest(input=request().input, variant=name).SerializeToString()
        for name in ("int8", "other", "another")
    )
    known = learnt(first, second, third)
    assert [known.find(raw) is not None for raw in (first, second, third)] == [False, True, True]
