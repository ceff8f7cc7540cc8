"""A Triton repository becomes model folders that a server serves to Triton's own client; the rest of it is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from support.foreign_models import image_graph, regression_graph, regression_script
from support.server_process import ServerProcess
from twinserve_client import Client
from twinserve_models.cli import app
from twinserve_models.importing.pbtxt import stated

SCRIPT = Path(__file__).parents[2] / "server" / "services" / "open_inference" / "triton_client.py"
#: The inputs in the order of nobody's forward(): it is found by their names.
SUM = """
name: "sum"  # two inputs
backend: "pytorch"
max_batch_size: 8
input [
  { name: "far" data_type: TYPE_FP32 dims: [ 2 ] },
  { name: "near" data_type: TYPE_FP32 dims: [ 4 ] }
]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 300
  preserve_ordering: true
  default_queue_policy { max_queue_size: 64 }
}
version_policy { latest { num_versions: 1 } }
parameters { key: "INFERENCE_MODE" value { string_value: "true" } }
"""
#: Without batching by Triton the batch is a dimension like any other.
WIDE = """
platform: "onnxruntime_onnx"
input { name: "image" data_type: TYPE_FP32 dims: [ -1, 3, 32, 32 ] }
output { name: "scores" data_type: TYPE_FP32 dims: [ -1, 1000 ] label_filename: "labels.txt" }
"""


def make_model(repository: Path, name: str, config: str, data: bytes, file: str, version: str = "1") -> Path:
    """A model as Triton wants it laid out."""
    folder = repository / name
    (folder / version).mkdir(parents=True)
    (folder / version / file).write_bytes(data)
    (folder / "config.pbtxt").write_text(config)
    return folder


def ask_triton(server: ServerProcess, question: str, **arguments: Any) -> Any:
    """Triton's client, whose protobuf symbols and ours cannot share a process."""
    command = [sys.executable, str(SCRIPT), server.target, question, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def import_all(repository: Path, models: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["import-triton", str(repository), "--models", str(models), *options])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two models: a sum in TorchScript, in two versions, and a classifier of 1,000 classes in ONNX."""
    root = tmp_path / "repository"
    make_model(root, "sum", SUM, b"an older one", "model.pt")
    (root / "sum" / "3").mkdir()
    (root / "sum" / "3" / "model.pt").write_bytes(regression_script())
    wide = make_model(root, "wide", WIDE, image_graph(), "model.onnx")
    (wide / "labels.txt").write_text("".join(f"class {index}\n" for index in range(1000)))
    return root


def test_a_repository_is_imported_and_served_to_tritons_client_under_its_own_names(
    tmp_path: Path, repository: Path, serve: Callable[..., ServerProcess]
) -> None:
    models = tmp_path / "models"
    done = import_all(repository, models, "--json")
    assert done.exit_code == 0, done.output
    one, two = json.loads(done.stdout)
    assert (one["folder"], two["folder"]) == (str(models / "sum" / "3"), str(models / "wide" / "1"))
    assert one["serve"] == [
        "--replicas fp32=1",
        "--max-queue-delay-us 300",
        "--preferred-batch-sizes 4,8",
        "--max-queue-requests 64",
    ]
    assert [line.partition(":")[0] for line in one["left_out"]] == [
        "version 1",
        "dynamic_batching.preserve_ordering",
        "parameters",
    ]
    assert two["left_out"] == ["scores.label_filename: --classifier takes the labels"]
    assert json.loads((models / "sum/3/manifest.json").read_text())["variants"]["fp32"]["max_batch_size"] == 8
    server = serve(models, "--gateways", "1", *" ".join(one["serve"]).split())
    inputs = {"far": [[1, 2], [0, 0]], "near": [[1, 2, 3, 4], [0, 0, 0, 1]]}
    arguments = {"model": "sum", "version": "3", "inputs": inputs, "output": "OUTPUT__0"}
    assert ask_triton(server, "infer_floats", **arguments) == [[13], [1]]
    config = ask_triton(server, "describe", model="sum")["config"]["config"]
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"]["preferred_batch_size"] == [4, 8]


def test_scores_become_a_classifier_with_the_labels_of_the_repository(
    tmp_path: Path, repository: Path, serve: Callable[..., ServerProcess]
) -> None:
    models, image = tmp_path / "models", np.zeros((1, 3, 32, 32), np.float32)
    done = import_all(repository, models, "--model", "wide", "--name", "things", "--variant", "int8", "--classifier")
    assert done.exit_code == 0, done.output
    assert f"To serve: twinserve serve --models {models}" in done.output
    image[0, 0, 0, 5] = 1
    with Client(serve(models, "--gateways", "1").target, model="things") as client:
        answer = client.predict(image, variant="int8")
    assert answer.labels == ["class 5"]
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_model_folder_and_a_fixed_batch_of_one_are_taken(tmp_path: Path) -> None:
    config = SUM.replace("max_batch_size: 8", "").replace("[ 2 ]", "[ 1, 2 ]").replace("[ 4 ]", "[ 1, 4 ]")
    folder = make_model(tmp_path, "sum", config.replace("[ 1 ]", "[ 1, 1 ]"), regression_script(), "model.pt")
    done = import_all(folder, tmp_path / "models")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "models/sum/1/manifest.json").read_text())
    assert [entry["shape"] for entry in manifest["inputs"]] == [[4], [2]]
    assert manifest["variants"]["fp32"]["max_batch_size"] == 1


def test_what_means_something_else_here_is_said(tmp_path: Path) -> None:
    config = SUM.replace("dims: [ 4 ]", "dims: [ 2, 2 ] reshape { shape: [ 4 ] }")
    config = config.replace("{ count: 1 kind: KIND_CPU }", "{ count: 1 }, { count: 2 kind: KIND_GPU gpus: [ 0 ] }")
    done = import_all(make_model(tmp_path, "sum", config, regression_script(), "model.pt"), tmp_path / "models")
    assert done.exit_code == 0, done.output
    assert "near.reshape: callers send and get [4], not [2, 2]" in done.output
    assert "instance_group.kind KIND_GPU: models run on the CPU" in done.output
    assert "--replicas fp32=3 --max-queue-delay-us 300" in done.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('backend: "pytorch"', 'backend: "tensorrt"', "backend 'tensorrt' is not served"),
        ('backend: "pytorch"', "", "backend '(not stated)' is not served"),
        ("TYPE_FP32 dims: [ 4 ]", "TYPE_STRING dims: [ 4 ]", "near: data_type TYPE_STRING is not served"),
        ("max_batch_size: 8", "", "a tensor's first dimension is fixed"),
        ("latest { num_versions: 1 }", "specific { versions: 7 }", "has no version folder (7)"),
        ("dims: [ 1 ]", "dims: [ 2 ]", "does not fit its manifest"),
        ("dims: [ 4 ]", "dims: [ 0 ]", "field inputs.0.shape.0"),
        ("input [", "input {", "is not a model configuration in protobuf's text format"),
        ("output [ {", "# [ {", "states no output"),
        ('name: "sum"', 'name: "Sum of all"', "--name: 'Sum of all' is not a valid name"),
        ('name: "sum"', 'name: "sum"\ndefault_model_filename: "net.pt"', "net.pt: cannot be read (No such file"),
    ],
)
def test_what_cannot_be_imported_is_said_and_leaves_nothing(tmp_path: Path, old: str, new: str, words: str) -> None:
    root, models = tmp_path / "repository", tmp_path / "models"
    make_model(root, "a-good-one", WIDE, image_graph(), "model.onnx")
    make_model(root, "sum", SUM.replace(old, new), regression_script(), "model.pt")
    done = import_all(root, models)
    assert "Traceback" not in done.output
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert not models.exists()


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("nowhere", [], "nowhere: is not a folder"),
        ("repository", ["--model", "other"], "holds no other/config.pbtxt"),
        ("repository", ["--name", "one"], "there are sum, wide; pick one with --model"),
        ("repository", ["--model", "sum", "--classifier"], "returns float32 [2, 1] for two items"),
    ],
)
def test_what_is_asked_for_must_be_there(
    tmp_path: Path, repository: Path, path: str, options: list[str], words: str
) -> None:
    done = import_all(tmp_path / path, tmp_path / "models", *options)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())


def test_a_file_that_answers_otherwise_than_its_configuration_says_is_refused(tmp_path: Path) -> None:
    make_model(tmp_path / "r", "sum", SUM.replace("OUTPUT__0", "z"), regression_graph(), "model.pt")
    done = import_all(tmp_path / "r", tmp_path / "models")
    assert done.exit_code == 1
    assert "is not a TorchScript file" in " ".join(done.output.split())


def test_every_field_of_a_configuration_is_found() -> None:
    text = """a: "x" "y" b [ { c: [ 1, 2 ] d: [ TYPE_A, TYPE_B ] }, { e: KIND_X } ] # f: 1
    g < h { i: true } > j: KIND_Y, k: { } l [] m: 1"""
    assert list(stated(text)) == [*("a", "b", "b.c", "b.d", "b.e", "g", "g.h", "g.h.i", "j", "k", "l", "m")]
