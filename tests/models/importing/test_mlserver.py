"""A model of MLServer whose file is TorchScript or ONNX becomes a model folder that a server serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from support.foreign_models import image_graph, regression_graph
from support.server_process import ServerProcess
from twinserve_client import Client
from twinserve_models.cli import app

SUM: dict[str, Any] = {
    "name": "sum",
    "implementation": "runtime.Onnx",
    "inputs": [
        {"name": "near", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "far", "datatype": "FP32", "shape": [-1, 2]},
    ],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
    "max_batch_size": 8,
    "max_batch_time": 0.002,
    "parallel_workers": 1,
    "parameters": {"uri": "./net.onnx", "version": "v1.2", "extra": {"threshold": 0.5}},
}


def make_model(folder: Path, data: bytes, file: str = "net.onnx", **changes: Any) -> Path:
    """A folder with ``model-settings.json``; ``changes`` replace fields of it, None removes one."""
    folder.mkdir()
    (folder / file).write_bytes(data)
    settings = {key: value for key, value in (SUM | changes).items() if value is not None}
    (folder / "model-settings.json").write_text(json.dumps(settings))
    return folder


def import_it(path: Path, models: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["import-mlserver", str(path), "--models", str(models), *options])


def test_a_model_is_imported_and_served(tmp_path: Path, serve: Callable[..., ServerProcess]) -> None:
    models = tmp_path / "models"
    done = import_it(make_model(tmp_path / "sum", regression_graph()), models, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["serve"] == ["--replicas fp32=1", "--max-queue-delay-us 2000"]
    assert [line.partition(":")[0] for line in told["left_out"]] == [
        *("implementation", "parameters.extra", "parameters.version v1.2")
    ]
    server = serve(models, "--gateways", "1", *" ".join(told["serve"]).split())
    with Client(server.target, model="sum") as client:
        answer = client.predict(inputs={"near": np.ones((2, 4), np.float32), "far": np.ones((2, 2), np.float32)})
    assert answer.outputs["y"].tolist() == [[6], [6]]


def test_the_only_file_of_a_folder_is_found_and_scores_become_a_classifier(tmp_path: Path) -> None:
    tensors = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 1000]}],
    }
    folder = make_model(tmp_path / "wide", image_graph(), "wide.onnx", parameters=None, max_batch_time=None, **tensors)
    models = tmp_path / "models"
    done = import_it(folder / "model-settings.json", models, "--classifier", "--name", "wide", "--variant", "int8")
    assert done.exit_code == 0, done.output
    assert f"To serve: twinserve serve --models {models} --replicas int8=1" in done.output
    manifest = json.loads((tmp_path / "models/wide/1/manifest.json").read_text())
    assert manifest["output"] == {"kind": "classifier", "scores": "logits"}
    assert manifest["variants"]["int8"]["runtime"] == "onnx"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": None}, "field inputs: is not stated"),
        ({"inputs": [{"name": "near", "datatype": "FP32", "shape": [1, 4]}]}, "write -1 for it"),
        ({"inputs": [{"name": "near", "datatype": "FP32", "shape": []}]}, "field inputs.0.shape: is []"),
        ({"inputs": ["near"]}, "field inputs.0.name: is None"),
        ({"outputs": [{"name": "y", "datatype": "BYTES", "shape": [-1, 1]}]}, "outputs.0.datatype: 'BYTES' is not"),
        ({"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]}, "does not fit its manifest"),
        ({"parameters": {"uri": "s3://bucket/net.pt"}}, "'s3://bucket/net.pt' is not on this machine"),
        ({"parameters": {"uri": 5}}, "field parameters.uri: is 5"),
        ({"parameters": {"uri": "other.pt"}}, "other.pt: cannot be read"),
        ({"parameters": {"uri": ".."}}, "there is none; name the file"),
        ({"parameters": "net.pt"}, "is not an object of settings"),
        ({"max_batch_size": -1}, "field max_batch_size: is -1"),
        ({"max_batch_size": 2.5}, "field max_batch_size: is 2.5"),
        ({"parallel_workers": "two"}, "field parallel_workers: is 'two'"),
    ],
)
def test_what_cannot_be_imported_is_said_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder, models = make_model(tmp_path / "sum", regression_graph(), **changes), tmp_path / "models"
    done = import_it(folder, models)
    assert "Traceback" not in done.output
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert not models.exists()


def test_a_pickle_is_no_file_to_serve(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "sum", b"\x80\x04N.", "model.joblib", parameters={"uri": "model.joblib"})
    done = import_it(folder, tmp_path / "models")
    assert done.exit_code == 1
    assert "is neither TorchScript nor ONNX" in " ".join(done.output.split())
