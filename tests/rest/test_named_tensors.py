"""Models of named tensors over HTTP: as JSON, in binary, and what is wrong with a request."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import numpy as np
import pytest

from rest.test_rest import call, output
from support.foreign_models import CLASSES, IMAGE

IDS = [[1, 2, 3], [4, 5, 6]]


def tensor(name: str, datatype: str, values: Any, **more: Any) -> dict[str, Any]:
    """One input of a request, as JSON."""
    return {"name": name, "datatype": datatype, "shape": list(np.shape(values)), "data": values, **more}


def test_the_metadata_names_every_tensor(foreign: str) -> None:
    told = call(foreign, "/v2/models/sequence")[1]
    assert told["inputs"] == [{"name": "ids", "datatype": "INT64", "shape": [-1, -1]}]
    assert [entry["name"] for entry in told["outputs"]] == ["states", "total"]
    wide = call(foreign, "/v2/models/wide")[1]
    assert wide["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, *IMAGE]}]
    assert wide["outputs"][0]["shape"] == [-1, CLASSES]


@pytest.mark.parametrize(
    ("model", "platform"),
    [
        ("regression_fp32", "pytorch_libtorch"),
        ("regression_int8", "onnxruntime_onnx"),
        ("regression", "onnxruntime_onnx,pytorch_libtorch"),
    ],
)
def test_the_platform_is_what_runs_the_model(foreign: str, model: str, platform: str) -> None:
    assert call(foreign, f"/v2/models/{model}")[1]["platform"] == platform


def test_json_goes_in_and_comes_out_by_name(foreign: str) -> None:
    body = {"inputs": [tensor("ids", "INT64", IDS)], "outputs": [{"name": "total"}]}
    status, answer = call(foreign, "/v2/models/sequence/infer", body)
    assert status == 200
    assert answer["outputs"] == [{"name": "total", "datatype": "INT64", "shape": [2], "data": [6, 15]}]
    everything = call(foreign, "/v2/models/sequence/infer", {"inputs": body["inputs"]})[1]
    assert output(everything, "states")["data"] == [2, 4, 6, 8, 10, 12]


def test_several_inputs_may_follow_in_binary_in_any_order(foreign: str) -> None:
    near, far = np.ones((2, 4), np.float32), np.full((2, 2), 3, np.float32)
    inputs = [
        {"name": "far", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": far.nbytes}},
        {"name": "near", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": near.nbytes}},
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    request = urllib.request.Request(
        f"http://{foreign}/v2/models/regression_fp32/infer",
        header + far.tobytes() + near.tobytes(),
        {"Inference-Header-Content-Length": str(len(header))},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        body, end = response.read(), int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(body[:end])["outputs"][0]["shape"] == [2, 1]
    assert np.frombuffer(body[end:], "<f4").tolist() == [10, 10]


def test_a_thousand_classes_are_answered_as_a_classifier(foreign: str) -> None:
    image = np.zeros((1, *IMAGE), np.float32)
    image.reshape(-1)[417] = 1
    answer = call(foreign, "/v2/models/wide/infer", {"inputs": [tensor("image", "FP32", image.tolist())]})[1]
    assert output(answer, "classes")["data"] == [417]
    assert output(answer, "probabilities")["shape"] == [1, CLASSES]


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        ("sequence", [], "expected 1 inputs but got 0"),
        ("sequence", [tensor("idz", "INT64", IDS)], "unexpected inference input 'idz'; the model takes 'ids'"),
        ("sequence", [tensor("ids", "INT32", IDS)], "inputs[0].datatype: 'INT32' is not one of INT64"),
        ("sequence", [tensor("ids", "INT64", [[0.5]])], "holds values that are not INT64"),
        ("sequence", [tensor("ids", "INT64", [[100]])], "inputs[ids].data"),
        ("sequence", [tensor("ids", "INT64", IDS, parameters={"binary_data_size": 48})], "must be absent"),
        ("regression", [tensor("near", "FP32", [[1] * 4]), tensor("near", "FP32", [[1] * 4])], "inputs[1].name"),
        ("regression", [tensor("near", "FP32", [[1] * 4]), tensor("far", "FP32", [[1] * 3])], "inputs[far].shape"),
    ],
)
def test_what_does_not_fit_is_named(foreign: str, model: str, inputs: list[Any], words: str) -> None:
    status, answer = call(foreign, f"/v2/models/{model}/infer", {"inputs": inputs})
    assert (status, words in answer["error"]) == (400, True), answer


def test_an_output_that_the_model_does_not_have_is_named(foreign: str) -> None:
    body = {"inputs": [tensor("ids", "INT64", IDS)], "outputs": [{"name": "probabilities"}]}
    status, answer = call(foreign, "/v2/models/sequence/infer", body)
    assert (status, answer["error"]) == (
        400,
        "outputs[0].name: unexpected inference output 'probabilities'; there are states, total",
    )
