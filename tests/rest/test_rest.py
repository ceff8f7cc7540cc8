"""The Open Inference Protocol over HTTP, as curl, Triton's client and a fuzzer see it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.server_process import ServerProcess
from support.tiny_model import classes_of, items
from twinserve_client import Client

SCRIPT = Path(__file__).with_name("triton_http_client.py")
SENT = 500


def call(rest: str, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    """Status and JSON of one HTTP request."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{rest}{path}", data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def question(pixels: np.ndarray, **more: Any) -> dict[str, Any]:
    """The JSON of a request."""
    datatype = "UINT8" if pixels.dtype == np.uint8 else "FP32"
    tensor = {"name": "input", "shape": list(pixels.shape), "datatype": datatype, "data": pixels.tolist()}
    return {"inputs": [tensor], **more}


def output(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """One output of an answer."""
    found: dict[str, Any] = next(entry for entry in answer["outputs"] if entry["name"] == name)
    return found


def test_it_says_what_it_is_and_whether_it_is_ready(rest: str) -> None:
    assert call(rest, "/v2")[1]["name"] == "twinserve"
    assert call(rest, "/v2/health/live") == (200, {"live": True})
    assert call(rest, "/v2/health/ready") == (200, {"ready": True})
    assert call(rest, "/v2/models/tiny_int8/ready") == (200, {"name": "tiny_int8", "ready": True})
    assert call(rest, "/v2/models/tiny/versions/1")[1]["inputs"] == [
        {"name": "input", "datatype": "UINT8", "shape": [-1, 4, 4]}
    ]
    names = [entry["name"] for entry in call(rest, "/v2/repository/index", method="POST")[1]]
    assert names == ["tiny", "tiny_fp32", "tiny_int8"]


def test_json_carries_every_bit_that_predict_gives(rest: str, server: ServerProcess) -> None:
    pixels = items(1, seed=5)
    with Client(server.target) as client:
        expected = client.predict(pixels, variant="int8")
    status, answer = call(rest, "/v2/models/tiny_int8/infer", question(pixels, id="mine"))
    assert status == 200
    found = np.array(output(answer, "probabilities")["data"], np.float32)
    assert found.tobytes() == expected.probabilities.tobytes()
    assert output(answer, "classes")["data"] == classes_of(pixels).tolist()
    assert answer["id"] == "mine"
    assert answer["parameters"]["variant"] == "int8"
    assert answer["parameters"]["inference_ns"] > 0


def test_a_flat_list_and_floats_are_taken_too(rest: str) -> None:
    pixels = items(2)
    flat = question(pixels)
    flat["inputs"][0]["data"] = pixels.ravel().tolist()
    floats = question(pixels.astype(np.float32) / 255)
    for body in (flat, floats):
        assert output(call(rest, "/v2/models/tiny/infer", body)[1], "classes")["data"] == classes_of(pixels).tolist()


def test_tritons_http_client_sends_and_reads_binary_tensors(rest: str, server: ServerProcess) -> None:
    pixels = items(SENT, seed=9)
    with Client(server.target) as client:
        expected = [client.predict(image[None], variant="fp32").probabilities.tobytes().hex() for image in pixels]
    command = [sys.executable, str(SCRIPT), rest, "tiny_fp32"]
    done = subprocess.run(
        command, input=json.dumps(pixels.tolist()), capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v2/models/nobody/infer", question(items(1)), 404, "'nobody' is not found; served are: tiny"),
        ("/v2/models/tiny/versions/7/infer", question(items(1)), 404, "version 7 is not found; served is version 1"),
        ("/v2/models/tiny/infer", b"{", 400, "not JSON"),
        ("/v2/models/tiny/infer", b"[" * 100_000, 400, "not JSON"),
        ("/v2/models/tiny/infer", {}, 400, "inputs: Field required"),
        ("/v2/models/tiny/infer", {"inputs": []}, 400, "expected 1 inputs but got 0"),
        ("/v2/models/tiny/infer", question(items(1)[:, :3]), 400, "[1, 3, 4]"),
        ("/v2/models/tiny/infer", question(items(1).astype(np.float32) * np.nan), 400, "NaN"),
        ("/v2/models/tiny/infer", question(items(1), parameters={"variant": "fp8"}), 404, "fp8"),
        ("/v2/models/tiny_int8/infer", question(items(1), parameters={"variant": "fp32"}), 400, "means 'int8'"),
        ("/v2/models/tiny/infer", question(items(1), outputs=[{"name": "logits"}]), 400, "'logits'"),
        (
            "/v2/models/tiny/infer",
            {"inputs": [{"name": "input", "shape": [1, 4, 4], "datatype": "UINT8", "data": [256] * 16}]},
            400,
            "outside 0..255",
        ),
        (
            "/v2/models/tiny/infer",
            {"inputs": [{"name": "input", "shape": [1, 4, 4], "datatype": "UINT8", "data": [1, [2, 3]]}]},
            400,
            "differ in length",
        ),
        (
            "/v2/models/tiny/infer",
            {"inputs": [{"name": "input", "shape": [1 << 40, 4, 4], "datatype": "UINT8", "data": [1]}]},
            400,
            "holds 1 elements",
        ),
    ],
)
def test_what_is_wrong_is_said_with_a_status(rest: str, path: str, body: Any, status: int, words: str) -> None:
    found, answer = call(rest, path, body)
    assert found == status
    assert words in answer["error"]


def test_a_fuzzer_finds_no_answer_that_the_document_does_not_promise(rest: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{rest}/openapi.json"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    options = ["--checks", checks, "--max-examples", "15", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
