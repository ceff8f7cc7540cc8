"""Triton's own client, in a process of its own, finds a server that speaks its protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.server_process import ServerProcess
from support.tiny_model import CLASSES, LABELS, classes_of, items
from twinserve_client import Client

SCRIPT = Path(__file__).with_name("triton_client.py")

Ask = Callable[..., Any]


@pytest.fixture(scope="module", params=["fast", "aio"])
def server(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server of the tiny pair on each transport."""
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("oip"), "--transport", request.param) as process:
        yield process


@pytest.fixture
def ask(server: ServerProcess) -> Ask:
    """Asks the server through ``tritonclient``."""

    def run(question: str, **arguments: Any) -> Any:
        command = [sys.executable, str(SCRIPT), server.target, question, json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_it_describes_itself_as_clients_expect(ask: Ask) -> None:
    found = ask("describe", model="tiny_int8")
    assert found["live"]
    assert found["ready"]
    assert found["model_ready"]
    assert found["server"]["name"] == "twinserve"
    metadata = found["metadata"]
    assert (metadata["name"], metadata["versions"]) == ("tiny_int8", ["1"])
    assert metadata["platform"] == "onnxruntime_onnx"
    assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": ["-1", "4", "4"]}]
    assert {output["name"]: output["shape"] for output in metadata["outputs"]} == {
        "probabilities": ["-1", str(CLASSES)],
        "classes": ["-1", "1"],
    }
    config = found["config"]["config"]
    assert (config["platform"], config["backend"]) == ("onnxruntime_onnx", "onnxruntime")
    assert config["max_batch_size"] == 16
    assert config["input"][0]["dims"] == ["4", "4"]
    assert {model["name"]: model["state"] for model in found["index"]["models"]} == {
        "tiny": "READY",
        "tiny_fp32": "READY",
        "tiny_int8": "READY",
    }


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_variant_is_a_model_and_answers_what_predict_answers(ask: Ask, server: ServerProcess, variant: str) -> None:
    pixels = items(7)
    with Client(server.target) as client:
        expected = client.predict(pixels, variant=variant)
    found = ask("infer", model=f"tiny_{variant}", pixels=pixels.tolist(), request_id="mine")
    assert np.array_equal(np.array(found["probabilities"], np.float32), expected.probabilities)
    assert np.array_equal(np.array(found["classes"])[:, 0], classes_of(pixels))
    assert found["id"] == "mine"
    assert found["model"] == f"tiny_{variant}"
    assert found["parameters"]["variant"] == variant
    assert found["parameters"]["route"] == "named"
    assert found["parameters"]["inference_ns"] > 0


def test_the_model_itself_is_the_routed_pair(ask: Ask, server: ServerProcess) -> None:
    pixels = items(1).tolist()
    routed = ask("infer", model="tiny", pixels=pixels)
    assert routed["parameters"]["route"] == "split"
    named = ask("infer", model="tiny", pixels=pixels, parameters={"variant": "int8"})
    assert named["parameters"]["variant"] == "int8"
    sticky = {
        ask("infer", model="tiny", pixels=pixels, parameters={"routing_key": "me"})["parameters"]["variant"]
        for _ in range(2)
    }
    assert len(sticky) == 1


def test_classes_in_words_the_most_probable_first(ask: Ask) -> None:
    pixels = items(3)
    found = ask("classify", model="tiny_fp32", pixels=pixels.tolist(), top=2)
    for row, expected in zip(found, classes_of(pixels), strict=True):
        value, index, label = row[0].split(":")
        assert (int(index), label) == (expected, LABELS[expected])
        assert float(value) >= float(row[1].split(":")[0])


def test_a_stream_answers_in_order_and_survives_a_bad_request(ask: Ask) -> None:
    good = [items(count, seed=count) for count in (1, 2, 3)]
    batches = [good[0].tolist(), [[1, 2, 3]], good[1].tolist(), good[2].tolist()]
    first, error, second, third = ask("stream", model="tiny_int8", batches=batches)
    assert "[1, 3]" in error
    for answer, pixels, name in ((first, good[0], "r0"), (second, good[1], "r2"), (third, good[2], "r3")):
        assert answer["id"] == name
        assert np.array_equal(np.array(answer["classes"])[:, 0], classes_of(pixels))


def test_the_asyncio_client_gets_its_answers_side_by_side(ask: Ask) -> None:
    batches = [items(1, seed=seed) for seed in range(40)]
    found = ask("gather", model="tiny_fp32", batches=[batch.tolist() for batch in batches])
    assert [answer["classes"][0][0] for answer in found] == [int(classes_of(batch)[0]) for batch in batches]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"model": "nobody"}, "StatusCode.NOT_FOUND", "Request for unknown model: 'nobody' is not found"),
        ({"model": "tiny", "version": "9"}, "StatusCode.NOT_FOUND", "version '9' is not found; served is version 1"),
        ({"model": "tiny", "name": "image"}, "StatusCode.INVALID_ARGUMENT", "unexpected inference input 'image'"),
        ({"model": "tiny", "datatype": "INT64"}, "StatusCode.INVALID_ARGUMENT", "'INT64', but model 'tiny' expects"),
        ({"model": "tiny", "pixels": [[[1, 2]]]}, "StatusCode.INVALID_ARGUMENT", "[1, 1, 2]"),
    ],
)
def test_what_is_wrong_is_refused_with_the_status_that_triton_gives(
    ask: Ask, arguments: dict[str, Any], status: str, words: str
) -> None:
    found = ask("refused", **{"pixels": items(1).tolist(), **arguments})
    assert found[0] == status
    assert words in found[1]
