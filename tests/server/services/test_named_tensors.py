"""Models of named tensors and of 1,000 classes, served beside each other and asked by SDK and Open Inference."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from support.foreign_models import CLASSES, IMAGE, make_foreign_models
from support.server_process import ServerProcess
from twinserve.inference import open_inference_pb2 as pb
from twinserve.inference import open_inference_pb2_grpc as pb_grpc
from twinserve_client import Client, InvalidInputError

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module", params=[("--gateways", "1"), ("--profile", "edge")], ids=["processes", "edge"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models: Path = make_foreign_models(tmp_path_factory.mktemp("foreign"))
    with ServerProcess(models, tmp_path_factory.mktemp("server"), *request.param) as process:
        yield process


@pytest.fixture(scope="module")
def regression(foreign: ServerProcess) -> Iterator[Client]:
    with Client(foreign.target, model="regression") as client:
        yield client


@pytest.fixture(scope="module")
def sequence(foreign: ServerProcess) -> Iterator[Client]:
    with Client(foreign.target, model="sequence") as client:
        yield client


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_two_inputs_become_a_named_output_in_either_runtime(regression: Client, variant: str) -> None:
    near, far = RANDOM.random((5, 4)), RANDOM.random((5, 2))
    answer = regression.predict(inputs={"far": far, "near": near}, variant=variant)
    expected = (near.sum(1) + far.sum(1)) * (1.01 if variant == "int8" else 1)
    np.testing.assert_allclose(answer.outputs["y"][:, 0], expected, rtol=1e-5)
    assert (len(answer), answer.variant, answer.classes.size) == (5, variant, 0)
    assert answer.timing.batch_size >= 5


def test_one_item_needs_no_batch_dimension(regression: Client) -> None:
    answer = regression.predict(inputs={"near": [1, 2, 3, 4], "far": [5, 6]}, variant="fp32")
    assert answer.outputs["y"].tolist() == [[21.0]]


def test_more_items_than_a_batch_takes_come_back_in_order(regression: Client) -> None:
    near = np.arange(200, dtype=np.float32).reshape(50, 4)
    answer = regression.predict(inputs={"near": near, "far": np.zeros((50, 2))}, variant="fp32")
    np.testing.assert_array_equal(answer.outputs["y"][:, 0], near.sum(1))


def test_variants_are_compared_side_by_side(regression: Client) -> None:
    answers = regression.compare({"near": np.ones((2, 4)), "far": np.ones((2, 2))})
    assert {name: round(float(answer.outputs["y"][0, 0]), 3) for name, answer in answers.items()} == {
        "fp32": 6.0,
        "int8": 6.06,
    }


def test_requests_of_different_lengths_are_never_mixed(sequence: Client) -> None:
    def ask(length: int) -> None:
        ids = RANDOM.integers(0, 99, (2, length))
        answer = sequence.predict(inputs={"ids": ids})
        np.testing.assert_array_equal(answer.outputs["states"], 2 * ids)
        np.testing.assert_array_equal(answer.outputs["total"], ids.sum(1))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, [1 + number % 7 for number in range(120)]))


def test_a_stream_takes_named_tensors_and_fails_in_place(sequence: Client) -> None:
    requests: list[dict[str, list[Any]]] = [{"ids": [1, 2, 3]}, {"ids": [100]}, {"ids": [[4], [5]]}]
    first, wrong, last = sequence.predict_stream(requests, on_error="return")
    assert not isinstance(first, Exception)
    assert not isinstance(last, Exception)
    assert first.outputs["total"].tolist() == [6]
    assert isinstance(wrong, InvalidInputError)
    assert last.outputs["total"].tolist() == [4, 5]


def test_the_description_names_every_tensor(sequence: Client) -> None:
    info = sequence.describe_model()
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in info.inputs] == [("ids", "INT64", (-1,))]
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in info.outputs] == [
        ("states", "FP32", (-1,)),
        ("total", "INT64", ()),
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"near": np.ones((2, 4))}, r"inputs: are \['near'\]; regression takes near FP32 \[4\], far FP32 \[2\]"),
        ({"near": np.ones((2, 4)), "far": np.ones((3, 2))}, r"inputs\[far\].shape: is of 3 items, near of 2"),
        (
            {"near": np.ones((2, 5)), "far": np.ones((2, 2))},
            r"inputs\[near\].shape: is \[2, 5\]; regression takes",
        ),
        ({"near": np.ones((0, 4)), "far": np.ones((0, 2))}, r"inputs\[near\].shape: is \[0, 4\]"),
        ({"near": np.full(4, np.nan), "far": np.ones(2)}, r"inputs\[near\].data: holds NaN or infinity"),
        (
            {"near": np.ones(4), "far": np.full(2, 11)},
            r"inputs\[far\].data: holds 11 at element 0",
        ),
        ({"near": ["a"], "far": np.ones(2)}, r"inputs\[near\].datatype: is <U1; the model takes FP32"),
    ],
)
def test_what_does_not_fit_is_named(regression: Client, inputs: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        regression.predict(inputs=inputs)  # type: ignore[arg-type]


def test_images_are_no_named_tensors_and_the_other_way_round(regression: Client, foreign: ServerProcess) -> None:
    with pytest.raises(InvalidInputError, match="input: is one tensor; regression takes near"):
        regression.predict(np.ones((2, 4), np.uint8))
    with pytest.raises(InvalidInputError, match="inputs: cannot be combined with images"):
        regression.predict(np.ones(4), inputs={})
    with Client(foreign.target, model="wide") as client, pytest.raises(InvalidInputError, match="wide takes image"):
        client.predict(inputs={"pixels": np.ones(IMAGE)})


def test_a_model_without_classes_takes_no_feedback(regression: Client) -> None:
    answer = regression.predict(inputs={"near": np.ones(4), "far": np.ones(2)}, variant="fp32")
    with pytest.raises(InvalidInputError, match="model regression returns tensors, not classes"):
        regression.send_feedback(answer.request_id, [0])


def test_a_thousand_classes_without_names_are_told_by_number(foreign: ServerProcess) -> None:
    images = np.zeros((3, *IMAGE), np.float32)
    for row, winner in enumerate((7, 417, CLASSES - 1)):
        images[row].reshape(-1)[winner] = 1
    with Client(foreign.target, model="wide") as client:
        assert client.predict(images).labels == ["7", "417", "999"]
        assert client.predict(inputs={"image": images}).classes.tolist() == [7, 417, 999]
        answer = client.predict(images[:1])
        assert client.send_feedback(answer.request_id, [7]).correct == 1


def test_open_inference_speaks_the_same_tensors(foreign: ServerProcess) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor
    with grpc.insecure_channel(foreign.target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="sequence"))
        assert [(entry.name, entry.datatype, list(entry.shape)) for entry in metadata.inputs] == [
            ("ids", "INT64", [-1, -1])
        ]
        assert [entry.name for entry in metadata.outputs] == ["states", "total"]
        config = stub.ModelConfig(pb.ModelConfigRequest(name="regression")).config
        assert (config.platform, config.backend) == ("onnxruntime_onnx,pytorch_libtorch", "onnxruntime,pytorch")
        assert [(entry.name, list(entry.dims)) for entry in config.input] == [("near", [4]), ("far", [2])]
        assert config.output[0].data_type == pb.TYPE_FP32
        ids = np.array([[1, 2, 3], [4, 5, 6]])
        typed = tensor(name="ids", datatype="INT64", shape=ids.shape)
        typed.contents.int64_contents.extend(ids.ravel().tolist())
        for request in (
            pb.ModelInferRequest(model_name="sequence_fp32", inputs=[typed]),
            pb.ModelInferRequest(
                model_name="sequence",
                inputs=[tensor(name="ids", datatype="INT64", shape=ids.shape)],
                raw_input_contents=[ids.astype("<i8").tobytes()],
                outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="total")],
            ),
        ):
            answer = stub.ModelInfer(request)
            found = dict(zip((entry.name for entry in answer.outputs), answer.raw_output_contents, strict=True))
            assert np.frombuffer(found["total"], "<i8").tolist() == [6, 15]
            assert ("states" in found) == (not request.outputs)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(pb.ModelInferRequest(model_name="regression", inputs=[typed]))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
