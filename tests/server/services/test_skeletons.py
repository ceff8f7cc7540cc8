"""A request that differs from an earlier one in its pixels only is known without parsing; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from twinserve.inference import open_inference_pb2 as pb
from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.engine.batch_queue import BatchPolicy
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import FeedbackStore
from twinserve_server.engine.router import Router, TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import Arrival
from twinserve_server.services import skeletons
from twinserve_server.services.decode import Limits
from twinserve_server.services.inference_method import InferenceMethod
from twinserve_server.services.open_inference.infer import ModelInferMethod
from twinserve_server.services.predict_method import PredictMethod
from twinserve_server.services.skeletons import Skeleton

VARIANTS = ("int8", "fp32", "other", "another")
VERSION = ModelVersion(
    "m",
    "1",
    (4, 4),
    ("UINT8", "FP32"),
    "probabilities",
    ("a", "b"),
    {name: Variant(name, f"{name}.pt", "ab" * 32, 1) for name in VARIANTS},
)
Kind = Callable[[Engine, Limits], InferenceMethod]
PIXELS = bytes(range(16))
OTHER = bytes(range(100, 116))


class Exchange:
    peer = ""

    def __init__(self) -> None:
        self.error: TwinserveError | None = None

    def answer(self, response: bytes) -> None:
        raise AssertionError("answered, though nobody runs a model here")

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        self.error = error


def engine(version: ModelVersion = VERSION) -> Engine:
    """An engine whose requests are queued, and wait."""
    channels = {name: ModelChannel(version, name, BatchPolicy(), lambda _: None) for name in VARIANTS}
    served = ServedModel(version, channels, Router(set(VARIANTS), TrafficPolicy(dict.fromkeys(VARIANTS, 1.0))))
    return Engine({"m": served}, "m", [], FeedbackStore())


def method(kind: Kind, version: ModelVersion = VERSION) -> InferenceMethod:
    return kind(engine(version), Limits())


def begun(asked: InferenceMethod, *messages: bytes) -> list[TwinserveError | None]:
    """How each of ``messages``, which arrive together, is refused; None: it is queued."""
    exchanges = [Exchange() for _ in messages]
    arrivals: list[Arrival] = [(raw, 0, exchange) for raw, exchange in zip(messages, exchanges, strict=True)]
    asked.begin_all(arrivals)
    return [exchange.error for exchange in exchanges]


def found_after(first: bytes, then: bytes, asked: InferenceMethod) -> tuple[Skeleton, bytes] | None:
    """What is known of ``then`` after a good request ``first``."""
    assert begun(asked, first) == [None]
    return asked.skeletons.find(then)


def predict(data: bytes = PIXELS, **fields: Any) -> predict_pb2.PredictRequest:
    tensor = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=[1, 4, 4], data=data)
    return predict_pb2.PredictRequest(**{"input": tensor, "variant": "int8", **fields})


def infer(data: bytes = PIXELS, shape: tuple[int, ...] = (1, 4, 4), **fields: Any) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype="UINT8", shape=shape)
    return pb.ModelInferRequest(**{"model_name": "m_int8", "inputs": [tensor], "raw_input_contents": [data], **fields})


def text(value: str) -> pb.InferParameter:
    return pb.InferParameter(string_param=value)


KINDS = [pytest.param(PredictMethod, predict, id="Predict"), pytest.param(ModelInferMethod, infer, id="ModelInfer")]


@pytest.mark.parametrize(("kind", "request_of"), KINDS)
@pytest.mark.parametrize("first", [PIXELS, bytes(16), b"\x10" * 16], ids=["all", "black", "like a length"])
def test_other_pixels_in_the_same_request_are_known(
    kind: Kind, request_of: Callable[..., Message], first: bytes
) -> None:
    asked = method(kind)
    found = found_after(request_of(first).SerializeToString(), request_of(OTHER).SerializeToString(), asked)
    assert found is not None
    skeleton, data = found
    assert data == OTHER
    assert (skeleton.target()[1], skeleton.datatype, skeleton.count, skeleton.bounds) == ("int8", "UINT8", 1, None)


@pytest.mark.parametrize(
    ("kind", "first", "other"),
    [
        pytest.param(PredictMethod, predict(), predict(variant="fp32"), id="variant"),
        pytest.param(PredictMethod, predict(), predict(model="m"), id="model"),
        pytest.param(PredictMethod, predict(), predict(request_id="mine"), id="request id"),
        pytest.param(PredictMethod, predict(), predict(routing_key="user-7"), id="routing key"),
        pytest.param(
            PredictMethod,
            predict(),
            predict(input=predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=[2, 2, 4], data=PIXELS)),
            id="shape",
        ),
        pytest.param(ModelInferMethod, infer(), infer(model_name="m_fp32"), id="ModelInfer's model"),
        pytest.param(ModelInferMethod, infer(), infer(model_version="1"), id="ModelInfer's version"),
        pytest.param(ModelInferMethod, infer(), infer(id="mine"), id="ModelInfer's id"),
        pytest.param(ModelInferMethod, infer(), infer(shape=(2, 2, 4)), id="ModelInfer's shape"),
        pytest.param(
            ModelInferMethod,
            infer(),
            infer(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="classes")]),
            id="ModelInfer's outputs",
        ),
    ],
)
def test_whatever_else_differs_is_parsed(kind: Kind, first: Message, other: Message) -> None:
    assert found_after(first.SerializeToString(), other.SerializeToString(), method(kind)) is None


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        pytest.param(PredictMethod, predict(request_id="x"), id="request id"),
        pytest.param(PredictMethod, predict(routing_key="x"), id="routing key"),
        pytest.param(ModelInferMethod, infer(id="x"), id="ModelInfer's id"),
        pytest.param(
            ModelInferMethod,
            infer(model_name="m", parameters={"routing_key": text("x")}),
            id="ModelInfer's routing key",
        ),
    ],
)
def test_what_names_itself_is_not_remembered(kind: Kind, named: Message) -> None:
    raw = named.SerializeToString()
    assert found_after(raw, raw, method(kind)) is None


def test_bytes_that_only_look_like_the_pixels_are_not_taken_for_them() -> None:
    # The pixels stand twice, the second time in a field that nobody knows.
    raw = predict().SerializeToString() + b"\xfa\x07\x12\x1a\x10" + PIXELS
    assert found_after(raw, raw, method(PredictMethod)) is None
    # Two inputs are merged, so that the pixels of the first are not those that are meant.
    again = predict_pb2.PredictRequest(input=predict_pb2.Tensor(data=PIXELS))
    raw = predict(bytes(16)).SerializeToString() + again.SerializeToString()
    found = found_after(raw, raw, method(PredictMethod))
    assert found is not None
    assert found[1] == PIXELS


def test_values_whose_range_is_stated_are_checked_as_in_a_request_that_is_parsed() -> None:
    version = replace(VERSION, ranges={"FP32": (0.0, 1.0)})
    good, bad = (np.full(16, value, "<f4").tobytes() for value in (0.5, 7.0))
    tensors = [predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=[4, 4], data=data) for data in (good, bad)]
    floats = pb.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[1, 4, 4])
    for kind, messages in (
        (PredictMethod, [predict_pb2.PredictRequest(input=tensor).SerializeToString() for tensor in tensors]),
        (ModelInferMethod, [infer(data, inputs=[floats]).SerializeToString() for data in (good, bad)]),
    ):
        (parsed,) = begun(method(kind, version), messages[1])
        asked = method(kind, version)
        assert begun(asked, messages[0]) == [None]
        assert asked.skeletons.find(messages[1]) is not None
        taken, known = begun(asked, *messages)
        assert taken is None
        assert parsed is not None
        assert str(known) == str(parsed)


def test_two_layouts_of_one_length_are_both_known() -> None:
    before = predict().SerializeToString()
    tensor = before[: before.rindex(b"int8") - 2] if before.endswith(b"int8") else before[before.index(b"int8") + 4 :]
    variant = before.replace(tensor, b"")
    turned = variant + tensor if before.startswith(tensor) else tensor + variant
    assert turned != before
    asked = method(PredictMethod)
    assert found_after(before, before, asked) is not None
    assert found_after(turned, turned, asked) is not None
    assert asked.skeletons.find(before) is not None


def test_the_oldest_of_too_many_kinds_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeletons, "MOST", 2)
    messages = [predict(variant=name).SerializeToString() for name in ("int8", "other", "another")]
    asked = method(PredictMethod)
    for raw in messages:
        assert begun(asked, raw) == [None]
    assert [asked.skeletons.find(raw) is not None for raw in messages] == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        pytest.param(PredictMethod, predict(model="m"), id="Predict"),
        pytest.param(ModelInferMethod, infer(), id="Infer"),
    ],
)
def test_a_model_that_is_gone_is_unknown_to_known_requests_as_well(kind: Kind, request_: Message) -> None:
    raw, serving = request_.SerializeToString(), engine()
    asked = kind(serving, Limits())
    assert found_after(raw, raw, asked) is not None
    del serving.models["m"]
    (error,) = begun(asked, raw)
    assert error is not None
    assert error.reason == "UNKNOWN_MODEL"
