"""``models add`` tries the files as a server would run them, and says field by field what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from typer.testing import CliRunner, Result

from support.foreign_models import graph, image_graph, regression_graph, regression_script, sequence_graph
from twinserve_models.cli import app
from twinserve_server.artefact.repository import load_repository

REGRESSION = ("--input", "near:4:FP32", "--input", "far:2:FP32:-10..10", "--output", "y:tensor")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files that a user has."""
    for name, data in {
        "regression.pt": regression_script(),
        "regression.onnx": regression_graph(1.01),
        "wide.onnx": image_graph(),
        "sequence.onnx": sequence_graph(),
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def add(files: Path, model: str, *options: str) -> Result:
    """The command, over paths in ``files``."""
    placed = [str(files / option) if option.endswith((".pt", ".onnx")) else option for option in options]
    return CliRunner().invoke(app, ["add", model, *placed, "--models", str(files / "models")])


def problems(files: Path, *options: str) -> dict[str, str]:
    """What does not fit, by variant and field."""
    result = add(files, "odd", *options, "--json")
    assert result.exit_code == 1, result.output
    assert not (files / "models" / "odd").exists()
    told = json.loads(result.stdout)
    assert told["added"] is False
    return {f"{entry['variant']}: {entry['field']}": entry["problem"] for entry in told["findings"]}


def test_a_pair_of_two_runtimes_becomes_a_version_that_the_server_reads(files: Path) -> None:
    result = add(files, "price", "--fp32", "regression.pt", "--int8", "regression.onnx", *REGRESSION)
    assert result.exit_code == 0, result.output
    version = load_repository(files / "models")["price"]
    assert version.signature is not None
    assert [str(spec) for spec in version.inputs] == ["near FP32 [4]", "far FP32 [2]"]
    assert [str(spec) for spec in version.outputs] == ["y FP32 [1]"]
    assert [spec.range for spec in version.inputs] == [None, (-10, 10)]
    assert version.signature.metric == "mse"
    assert {name: variant.format for name, variant in version.variants.items()} == {
        "fp32": "torchscript",
        "int8": "onnx",
    }
    assert "int8: none of its kernels computes in 8-bit integers" in result.output
    assert "cosine similarity with fp32 1.0000" in result.output


def test_a_name_that_is_there_gets_its_next_version(files: Path) -> None:
    for version in ("1", "2"):
        assert add(files, "price", "--fp32", "regression.onnx", *REGRESSION).exit_code == 0
        assert load_repository(files / "models")["price"].version == version


def test_outputs_that_are_not_declared_are_those_that_the_model_returns(files: Path) -> None:
    options = ("--input", "ids:?:INT64:0..99", "--output", "states:tensor", "--output", "total:tensor")
    assert add(files, "words", "--fp32", "sequence.onnx", *options, "--metric", "cosine").exit_code == 0
    version = load_repository(files / "models")["words"]
    assert [str(spec) for spec in version.outputs] == ["states FP32 [-1]", "total INT64 []"]


def test_a_classifier_may_have_a_thousand_classes_and_a_file_of_names(files: Path) -> None:
    names = [f"thing {number}" for number in range(1000)]
    (files / "names.txt").write_text("\n".join(names))
    options = ("--fp32", "wide.onnx", "--input", "image:3x32x32:FP32:0..1", "--output", "scores:classifier")
    assert add(files, "wide", *options, "--labels", str(files / "names.txt")).exit_code == 0
    version = load_repository(files / "models")["wide"]
    assert (version.output_kind, version.labels) == ("logits", tuple(names))
    refused = add(files, "wide", *options, "--labels", "a,b")
    assert (refused.exit_code, "are 2, but output scores has 1000 classes" in refused.output) == (2, True)


def test_what_the_graph_says_otherwise_is_named_field_by_field(files: Path) -> None:
    assert problems(files, "--fp32", "sequence.onnx", "--input", "id:?:INT64", "--output", "states:tensor") == {
        "fp32: input id": "the graph has none of that name; it has ids",
        "fp32: input ids": "the graph takes it, but no --input declares it",
    }
    result = add(files, "odd", "--fp32", "sequence.onnx", "--input", "ids:?x4:INT32", "--output", "states:tensor")
    assert "fp32: input ids: is declared INT32; the graph says INT64" in result.output
    assert "fp32: input ids: is declared as [-1, 4] per item; the graph says [-1]" in result.output
    shapes = problems(files, "--fp32", "regression.onnx", *REGRESSION[:4], "--output", "y:2:FP32:tensor")
    assert shapes == {"fp32: output y": "is declared as [2] per item; the graph says [1]"}


def test_every_file_is_tried_and_named(files: Path) -> None:
    (files / "broken.pt").write_bytes(b"PK\x03\x04 no archive")
    found = problems(files, "--fp32", "regression.pt", "--int8", "broken.pt", *REGRESSION)
    assert "is not a TorchScript file" in found["int8: file"]
    missing = problems(files, "--fp32", "nowhere.pt", "--int8", "nothing.onnx", *REGRESSION)
    assert list(missing) == ["fp32: file", "int8: file"]
    assert "cannot be read" in missing["fp32: file"]


class Odd(torch.nn.Module):
    """A module that misbehaves in one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x 3 in the good case."""
        if self.way == "draws":
            y = x + torch.rand_like(x)
        elif self.way == "one row":
            y = x[:1]
        elif self.way == "mixes":
            y = x - x.mean(0)
        elif self.way == "nan":
            y = torch.log(x - 2)
        else:
            y = x.to(torch.float64)
        return y


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("draws", "differs between two runs of the same items"),
        ("one row", "has [1, 3] for 8 items; the first dimension must be the batch"),
        ("mixes", "between alone and in a batch; items must not depend on each other"),
        ("nan", "holds NaN or infinity for valid input"),
        ("double", "is declared FP32, but is float64"),
    ],
)
def test_a_model_that_misbehaves_is_refused(files: Path, way: str, words: str) -> None:
    torch.jit.save(torch.jit.script(Odd(way)), files / "odd.pt")
    found = problems(files, "--fp32", "odd.pt", "--input", "x:3:FP32", "--output", "y:3:FP32:tensor")
    assert words in found["fp32: output y"]


def test_a_batch_that_is_fixed_in_the_graph_is_refused_unless_it_is_the_limit(files: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    data = graph(nodes, {}, {"x": ("FLOAT", [1, 3])}, {"y": ("FLOAT", [1, 3])})
    (files / "fixed.onnx").write_bytes(data)
    options = ("--fp32", "fixed.onnx", "--input", "x:3:FP32", "--output", "y:3:FP32:tensor")
    assert "the graph's batch is fixed at 1" in problems(files, *options)["fp32: input x"]
    assert add(files, "single", *options, "--max-batch-size", "1").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input", "x:3", "--output", "y:tensor"], "--input x:3: is not NAME:SHAPE:DATATYPE"),
        (["--input", "x:3:FLOAT", "--output", "y:tensor"], "'FLOAT' is not a datatype"),
        (["--input", "x:3x0:FP32", "--output", "y:tensor"], "holds '0'"),
        (["--input", "x:3:FP32"], "--output: is missing"),
        (["--input", "x:3:FP32", "--output", "y:regression"], "ends with 'regression'"),
        (["--input", "x:3:FP32", "--output", "y:tensor", "--metric", "rmse"], "--metric rmse: is none of"),
        (["--input", "x:3:FP32", "--output", "y:tensor", "--metric", "no_such:f"], "there is no module no_such"),
        (["--input", "x:3:FP32", "--output", "y:classifier", "--metric", "mse"], "leave it out"),
        (["--input", "x:3:FP32", "--output", "a:tensor", "--output", "a:tensor"], "is declared twice"),
    ],
)
def test_a_wrong_option_is_wrong_use(files: Path, options: list[str], words: str) -> None:
    result = add(files, "odd", "--fp32", "regression.onnx", *options)
    assert result.exit_code == 2
    assert words in result.output


def test_the_probabilities_of_a_classifier_are_told_from_logits(files: Path) -> None:
    nodes: list[Any] = [helper.make_node("Softmax", ["x"], ["p"], axis=1)]
    (files / "soft.onnx").write_bytes(graph(nodes, {}, {"x": ("FLOAT", ["N", 3])}, {"p": ("FLOAT", ["N", 3])}))
    assert add(files, "soft", "--fp32", "soft.onnx", "--input", "x:3:FP32", "--output", "p:classifier").exit_code == 0
    version = load_repository(files / "models")["soft"]
    assert version.output_kind == "probabilities"
    assert np.prod(version.item_shape) == 3
