"""Bytes to arrays and back: every wrong tensor gets its own error, every answer is what protobuf would write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinserve.v1 import predict_pb2
from twinserve_server.artefact.manifest import ModelVersion, Variant, manifest_digest
from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.engine.router import Router, TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import InvalidInputError
from twinserve_server.services.decode import Limits, check_text, decode_input
from twinserve_server.services.encode import encode_answer

UINT8, FP32 = predict_pb2.DATA_TYPE_UINT8, predict_pb2.DATA_TYPE_FP32


def version(classes: int = 10) -> ModelVersion:
    return ModelVersion(
        model="mnist",
        version="3",
        item_shape=(28, 28),
        datatypes=("UINT8", "FP32"),
        output_kind="probabilities",
        labels=tuple(map(str, range(classes))),
        variants={"int8": Variant("int8", "int8.pt", "ab" * 32, 1)},
    )


def tensor(shape: list[int], datatype: Any = UINT8, data: bytes | None = None) -> predict_pb2.Tensor:
    size = int(np.prod(shape)) * (4 if datatype == FP32 else 1)
    return predict_pb2.Tensor(datatype=datatype, shape=shape, data=bytes(size) if data is None else data)


@pytest.mark.parametrize(
    ("given", "count", "datatype"),
    [
        (tensor([28, 28]), 1, "UINT8"),
        (tensor([1, 28, 28]), 1, "UINT8"),
        (tensor([64, 28, 28]), 64, "UINT8"),
        (tensor([2, 28, 28], FP32), 2, "FP32"),
    ],
)
def test_one_or_many_items_are_taken(given: predict_pb2.Tensor, count: int, datatype: str) -> None:
    items = decode_input(given, version(), Limits(64))
    assert (items.count, items.datatype, items.data) == (count, datatype, given.data)


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        (tensor([28, 28], 0), "input.datatype", "is DATA_TYPE_UNSPECIFIED; mnist takes UINT8 or FP32"),
        (tensor([28, 28], 99), "input.datatype", "is unknown; mnist takes UINT8 or FP32"),
        (tensor([28, 27]), "input.shape", r"is \[28, 27\]; mnist takes \[28, 28\] or \[N, 28, 28\]"),
        (tensor([1, 1, 28, 28]), "input.shape", r"is \[1, 1, 28, 28\]; mnist takes"),
        (tensor([]), "input.shape", r"is \[\]; mnist takes"),
        (tensor([0, 28, 28]), "input.shape", "the batch is empty; send at least one item"),
        (tensor([-1, 28, 28], data=b""), "input.shape", "the batch is empty"),
        (tensor([65, 28, 28]), "input.shape", "65 items; the limit is 64 per request"),
        (tensor([28, 28], data=bytes(783)), "input.data", r"holds 783 bytes; shape \[28, 28\] of UINT8 needs 784"),
        (
            tensor([28, 28], FP32, np.full(784, np.nan, np.float32).tobytes()),
            "input.data",
            "holds NaN or infinity; every value must be finite",
        ),
    ],
)
def test_a_wrong_tensor_names_field_value_and_limit(given: predict_pb2.Tensor, field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        decode_input(given, version(), Limits(64))
    assert caught.value.violations[0].field == field


def test_an_answer_above_the_message_limit_is_refused_before_it_is_computed() -> None:
    limits = Limits(1_000_000, 100_000)
    most = limits.answer_images(version())
    decode_input(tensor([most, 28, 28]), version(), limits)
    with pytest.raises(InvalidInputError, match=f"limit of 100000 bytes a message; send {most} items") as caught:
        decode_input(tensor([most + 1, 28, 28]), version(), limits)
    assert caught.value.violations[0].field == "input.shape"
    # A comparison answers with every variant's rows in one message.
    with pytest.raises(InvalidInputError, match="2 x"):
        decode_input(tensor([most, 28, 28]), version(), limits, answers=2)


def test_the_largest_answer_that_is_let_through_fits() -> None:
    limits = Limits(1_000_000, 100_000)
    served = version()
    most = limits.answer_images(served)
    widest = predict_pb2.PredictResponse(
        classes=[2**32 - 1] * most, probabilities=bytes(4 * served.classes * most), request_id="x" * 128
    )
    assert widest.ByteSize() + 1024 < limits.message_bytes


def test_long_texts_are_refused_by_their_bytes() -> None:
    check_text("request_id", "é" * 64, 128)
    with pytest.raises(InvalidInputError, match="request_id: holds 130 bytes; the limit is 128"):
        check_text("request_id", "é" * 65, 128)


@pytest.mark.parametrize("classes", [10, 300])
@pytest.mark.parametrize("images", [1, 64, 200])
@pytest.mark.parametrize("route", ["named", "random"])
def test_an_answer_is_what_the_protobuf_library_writes(classes: int, images: int, route: Any) -> None:
    model = version(classes)
    served = ServedModel(model, {}, Router({"int8"}, TrafficPolicy({"int8": 1.0})))
    job = Job(b"", "UINT8", images, lambda _: None)
    answers = (np.arange(images, dtype=np.uint32) * 7) % classes
    rows = np.random.default_rng(0).random((images, classes), np.float32)
    job.classes, job.probabilities = answers.tobytes(), rows.tobytes()
    job.queue_ns, job.transfer_ns, job.preprocess_ns, job.inference_ns, job.postprocess_ns = 1, 2**40, 3, 4, 5
    job.batch_size = 64
    call = Call(served, "int8", route, "request-ü")
    call.total_ns = 123456
    expected = predict_pb2.PredictResponse(
        classes=answers.tolist(),
        probabilities=rows.tobytes(),
        class_count=classes,
        served_by=predict_pb2.ServedBy(
            model="mnist", version="3", variant="int8", sha256="ab" * 32, manifest_digest=manifest_digest("{}")
        ),
        timing=predict_pb2.Timing(
            queue_ns=1,
            transfer_ns=2**40,
            preprocess_ns=3,
            inference_ns=4,
            postprocess_ns=5,
            total_ns=123456,
            batch_size=64,
        ),
        request_id="request-ü",
        route=predict_pb2.ROUTE_NAMED if route == "named" else predict_pb2.ROUTE_SPLIT,
    )
    assert predict_pb2.PredictResponse.FromString(encode_answer(call, job)) == expected
