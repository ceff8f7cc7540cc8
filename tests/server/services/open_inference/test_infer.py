"""ModelInfer on the wire: every way of sending the same items gets the same bits as Predict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from support.server_process import ServerProcess
from support.tiny_model import CLASSES, items
from twinserve.inference import open_inference_pb2 as pb
from twinserve.inference import open_inference_pb2_grpc as pb_grpc
from twinserve_client import Client

SENT = 500


@pytest.fixture(scope="module")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One image a forward pass: what shares a batch could differ in the last bit."""
    options = ("--gateways", "1", "--no-batching")
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("infer"), *options) as process:
        yield process


@pytest.fixture(scope="module")
def stub(server: ServerProcess) -> Iterator[pb_grpc.GRPCInferenceServiceStub]:
    """The service, through the generated stub."""
    with grpc.insecure_channel(server.target) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


def raw_request(image: np.ndarray, model: str = "tiny_int8") -> pb.ModelInferRequest:
    """One image as raw contents."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[image.tobytes()])
    request.inputs.add(name="input", datatype="UINT8" if image.dtype == np.uint8 else "FP32", shape=image.shape)
    return request


def typed_request(image: np.ndarray, model: str = "tiny_int8") -> pb.ModelInferRequest:
    """One image as typed contents."""
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="input", shape=image.shape)
    if image.dtype == np.uint8:
        tensor.datatype = "UINT8"
        tensor.contents.uint_contents.extend(image.ravel().tolist())
    else:
        tensor.datatype = "FP32"
        tensor.contents.fp32_contents.extend(image.ravel().tolist())
    return request


def probabilities(response: pb.ModelInferResponse) -> bytes:
    """The raw contents of the output of that name."""
    index = [output.name for output in response.outputs].index("probabilities")
    return response.raw_output_contents[index]


def test_predict_raw_typed_and_stream_agree_to_the_last_bit(
    server: ServerProcess, stub: pb_grpc.GRPCInferenceServiceStub
) -> None:
    images = items(SENT, seed=3)[:, None]
    with Client(server.target) as client:
        expected = [client.predict(image, variant="int8").probabilities.tobytes() for image in images]
    assert [probabilities(stub.ModelInfer(raw_request(image))) for image in images] == expected
    assert [probabilities(stub.ModelInfer(typed_request(image))) for image in images] == expected
    streamed = stub.ModelStreamInfer(iter([raw_request(image) for image in images]))
    assert [probabilities(answer.infer_response) for answer in streamed] == expected


def test_floats_are_floats_in_either_form(stub: pb_grpc.GRPCInferenceServiceStub) -> None:
    image = items(2).astype(np.float32) / 255
    raw, typed = stub.ModelInfer(raw_request(image)), stub.ModelInfer(typed_request(image))
    assert probabilities(raw) == probabilities(typed)
    assert [list(output.shape) for output in raw.outputs] == [[2, CLASSES], [2, 1]]


def test_the_bytes_are_what_the_protobuf_library_would_write(stub: pb_grpc.GRPCInferenceServiceStub) -> None:
    response = stub.ModelInfer(raw_request(items(1)))
    again = pb.ModelInferResponse.FromString(response.SerializeToString())
    assert again == response
    assert set(response.parameters) == {
        *("variant", "route", "sha256"),
        *("queue_ns", "transfer_ns", "preprocess_ns", "inference_ns", "postprocess_ns", "total_ns", "batch_size"),
    }
    assert response.parameters["batch_size"].int64_param == 1
    total = response.parameters["total_ns"].int64_param
    assert 0 < response.parameters["inference_ns"].int64_param < total


def test_only_the_outputs_asked_for_are_sent(stub: pb_grpc.GRPCInferenceServiceStub) -> None:
    request = raw_request(items(1))
    request.outputs.add(name="classes")
    response = stub.ModelInfer(request)
    assert [output.name for output in response.outputs] == ["classes"]
    assert len(response.raw_output_contents) == 1


def broken(request: pb.ModelInferRequest, how: str) -> pb.ModelInferRequest:
    """``request`` with one thing wrong."""
    tensor = request.inputs[0]
    match how:
        case "no input":
            del request.inputs[:]
        case "both contents":
            tensor.contents.uint_contents.append(1)
        case "wrong contents":
            del request.raw_input_contents[:]
            tensor.contents.fp32_contents.append(1.0)
        case "too large a value":
            del request.raw_input_contents[:]
            tensor.contents.uint_contents.extend([256] * 16)
        case "shared memory":
            tensor.parameters["shared_memory_region"].string_param = "mine"
        case "unknown output":
            request.outputs.add(name="logits")
        case "output twice":
            request.outputs.add(name="classes")
            request.outputs.add(name="classes")
        case "another variant":
            request.parameters["variant"].string_param = "fp32"
        case "a number for a key":
            request.parameters["routing_key"].int64_param = 1
        case "no class":
            request.outputs.add(name="probabilities").parameters["classification"].int64_param = 0
    return request


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no input", "expected 1 inputs but got 0"),
        ("both contents", "no contents beside them"),
        ("wrong contents", "UINT8 elements travel in uint_contents"),
        ("too large a value", "UINT8 ends at 255"),
        ("shared memory", "shared memory is not supported"),
        ("unknown output", "unexpected inference output 'logits'"),
        ("output twice", "names an output twice"),
        ("another variant", "already means variant 'int8'"),
        ("a number for a key", "must be a string"),
        ("no class", "at least 1"),
    ],
)
def test_what_is_wrong_is_named(stub: pb_grpc.GRPCInferenceServiceStub, how: str, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(broken(raw_request(items(1)), how))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(caught.value.details())
