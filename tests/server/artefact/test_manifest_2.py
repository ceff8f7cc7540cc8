"""Version 2 of the manifest: named tensors, and what the output is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.errors import ArtefactError
from twinserve_server.ipc.codec import decode, encode

CLASSIFIER: dict[str, Any] = {
    "schema_version": 2,
    "model": "birds",
    "version": "1",
    "inputs": [{"name": "image", "datatypes": ["FP32"], "shape": [3, 32, 32], "ranges": {"FP32": [-1, 1]}}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1000]}],
    "output": {"kind": "classifier", "scores": "logits"},
    "variants": {
        "fp32": {"file": "fp32.pt", "runtime": "torchscript", "sha256": "0" * 64, "bytes": 1},
        "int8": {"file": "fp32.pt", "runtime": "onnx", "precision": "int8", "sha256": "0" * 64, "bytes": 1},
    },
}
TENSORS: dict[str, Any] = {
    **CLASSIFIER,
    "inputs": [
        {"name": "ids", "datatypes": ["INT64"], "shape": [-1], "ranges": {"INT64": [0, 99]}},
        {"name": "scale", "datatypes": ["FP64"], "shape": []},
    ],
    "outputs": [
        {"name": "states", "datatype": "FP32", "shape": [-1, 8]},
        {"name": "length", "datatype": "INT64", "shape": []},
    ],
    "output": {"kind": "tensors", "metric": "cosine"},
}
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "birds" / "1"
    found.mkdir(parents=True)
    (found / "fp32.pt").write_bytes(b"x")
    return found


def read(folder: Path, manifest: dict[str, Any], edit: Edit = lambda _: None) -> ModelVersion:
    manifest = copy.deepcopy(manifest)
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_manifest(folder)


def test_a_classifier_of_one_input_takes_the_lean_path_whatever_its_input_is_called(folder: Path) -> None:
    version = read(folder, CLASSIFIER)
    assert version.signature is None
    assert (version.input_name, version.item_shape, version.datatypes) == ("image", (3, 32, 32), ("FP32",))
    assert (version.output_kind, version.ranges) == ("logits", {"FP32": (-1.0, 1.0)})


def test_classes_without_names_are_called_by_their_numbers(folder: Path) -> None:
    version = read(folder, CLASSIFIER)
    assert version.classes == 1000
    assert version.labels[417] == "417"


def test_several_tensors_of_any_datatype_make_a_signature(folder: Path) -> None:
    version = read(folder, TENSORS)
    signature = version.signature
    assert signature is not None
    assert list(map(str, signature.inputs)) == ["ids INT64 [-1]", "scale FP64 []"]
    assert list(map(str, signature.outputs)) == ["states FP32 [-1, 8]", "length INT64 []"]
    assert signature.inputs[0].bounds == (0.0, 99.0)
    assert signature.metric == "cosine"
    assert (version.output_kind, version.classes) == ("tensors", 0)
    assert decode(encode(version), ModelVersion) == version


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["inputs"][0].update(shape=[3, -1, 32]),
        lambda m: m["inputs"][0].update(datatypes=["INT64"], ranges={}),
        lambda m: m["inputs"].append({"name": "more", "datatypes": ["FP32"], "shape": [1]}),
    ],
)
def test_a_classifier_of_another_kind_has_classes_and_a_signature(folder: Path, edit: Edit) -> None:
    version = read(folder, CLASSIFIER, edit)
    assert version.signature is not None
    assert (version.classes, version.signature.metric) == (1000, "")


def test_the_precision_or_the_recipe_says_that_a_variant_is_quantised(folder: Path) -> None:
    variants = read(folder, CLASSIFIER).variants
    assert [variant.quantized for variant in variants.values()] == [False, True]
    assert [variant.format for variant in variants.values()] == ["torchscript", "onnx"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.pop("outputs"), r"\(top level\): 'outputs' is a required property"),
        (lambda m: m["inputs"][0].update(shape=[0]), r"field inputs.0.shape.0: 0 "),
        (lambda m: m["inputs"][0].update(datatypes=["BYTES"]), r"field inputs.0.datatypes.0: 'BYTES' is not one of"),
        (lambda m: m["inputs"][1].update(datatypes=["FP32", "UINT8"]), r"field inputs.1.datatypes: names 2; only"),
        (lambda m: m["inputs"][1].update(name="ids"), r"field inputs: two are named 'ids'; give each"),
        (lambda m: m["outputs"][1].update(name="states"), r"field outputs: two are named 'states'"),
        (lambda m: m["inputs"][0].update(ranges={"INT64": [9, 9]}), r"field inputs.0.ranges.INT64: is \[9, 9\]"),
        (lambda m: m["output"].update(metric="rmse"), r"field output.metric: 'rmse' does not match"),
        (lambda m: m["output"].pop("metric"), r"field output: 'metric' is a required property"),
        (lambda m: m["output"].update(labels=["a", "b"]), r"field output: .*labels"),
        (lambda m: m["output"].update(kind="regression"), r"field output.kind: 'regression' is not one of"),
        (lambda m: m["variants"]["fp32"].update(device="cuda"), r"variants.fp32.device: 'cuda' does not match"),
        (lambda m: m["variants"]["fp32"].update(format="onnx"), r"field variants.fp32: .*'format' was unexpected"),
    ],
)
def test_what_does_not_fit_is_named_with_its_field(folder: Path, edit: Edit, message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        read(folder, TENSORS, edit)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["output"].update(labels=["a", "b"]), r"field output.labels: are 2, but outputs.0.shape says 1000"),
        (lambda m: m["outputs"][0].update(shape=[1000, 2]), r"field outputs.0: is FP32 \[1000, 2\]; the scores of"),
        (lambda m: m["outputs"].append(dict(m["outputs"][0], name="b")), r"field outputs: are 2; a classifier has one"),
    ],
)
def test_a_classifier_has_one_row_of_scores(folder: Path, edit: Edit, message: str) -> None:
    with pytest.raises(ArtefactError, match=message):
        read(folder, CLASSIFIER, edit)
