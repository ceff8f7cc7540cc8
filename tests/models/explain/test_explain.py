"""`twinserve models explain` finds the layer that loses the accuracy, and says why."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from support.versions import rewrite
from twinserve_models.cli import app
from twinserve_models.explain.calibrate import CALIBRATORS
from twinserve_models.quantizing.onnx_file import quantize_onnx
from twinserve_server.model.torchscript import configure_torch

LAYERS = ["conv1", "conv2", "fc1", "fc2"]


@pytest.fixture
def models(built: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own, to damage."""
    shutil.copytree(built.parents[1], tmp_path / "models")
    return tmp_path / "models"


def explain(models: Path, *arguments: object, images: int = 96) -> dict[str, Any]:
    """What the command finds; what is broken on purpose shows on few images."""
    out = models / "explain.json"
    options = ["--models", models, "--images", images, "--json", out, *arguments]
    ran = CliRunner().invoke(app, ["explain", "mnist", *map(str, options)])
    assert ran.exit_code == 0, ran.output
    told: dict[str, Any] = json.loads(out.read_text())["explain"]
    return told


def replant(models: Path, change: Callable[[torch.jit.ScriptModule], None]) -> None:
    """Change the INT8 artefact, and the manifest so that it is still the one that is meant."""
    folder = models / "mnist" / "1"
    path = folder / "int8.pt"
    manifest = json.loads((folder / "manifest.json").read_text())
    configure_torch(manifest["variants"]["int8"]["engine"], 1)
    module = torch.jit.load(path)
    change(module)
    module.save(str(path))
    data = path.read_bytes()
    manifest["variants"]["int8"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_pair_is_told_layer_by_layer(models: Path) -> None:
    found = explain(models, "--picture", models / "layers.svg", images=256)
    assert [layer["name"] for layer in found["layers"]] == LAYERS
    assert [layer["shape"] for layer in found["layers"]][1:3] == [[64, 32, 3, 3], [128, 9216]]
    for layer in found["layers"]:
        assert layer["weights_db"] > 30
        assert layer["alone_db"] > 25
        assert layer["served_db"] > 20
        assert layer["saturated"] < 0.01
        assert layer["integer_kernel"].startswith("quantized::")
        assert not layer["float_kernel"].startswith("quantized::")
        assert layer["float_us"] > 0
        assert layer["integer_us"] > 0
    assert found["layers"][2]["float_bytes"] == 3 * 128 * 9216
    assert found["agreement"] >= 97
    assert any("No layer is worth keeping in FP32" in sentence for sentence in found["advice"])
    assert {row["calibrator"] for row in found["sweep"]} == set(CALIBRATORS)
    assert sorted({row["images"] for row in found["sweep"]}) == [16, 64]
    assert (models / "layers.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("layer", "factor", "why"),
    [
        ("conv2", 0.02, "scale is too small"),
        ("conv1", 0.01, "scale is too small"),
        ("fc1", 100.0, "scale is too large"),
    ],
)
def test_the_layer_with_a_broken_scale_is_found(models: Path, layer: str, factor: float, why: str) -> None:
    def break_scale(module: Any) -> None:
        part = getattr(module, layer)
        part.scale = part.scale * factor

    replant(models, break_scale)
    found = explain(models)
    worst = min(found["layers"], key=lambda entry: entry["alone_db"])
    assert worst["name"] == layer
    assert found["advice"][0].startswith(f"{layer}: ")
    assert why in found["advice"][0]
    sound = [entry for entry in found["layers"] if entry["name"] != layer]
    assert all(entry["alone_db"] > 25 for entry in sound)


def test_layers_that_stay_in_floats_are_named(models: Path) -> None:
    found = explain(models, "fp32", "int8-dynamic")
    assert [layer["weights_db"] is None for layer in found["layers"]] == [True, True, False, False]
    assert any("Already in floats in the quantised variant: conv1, conv2" in said for said in found["advice"])


def test_onnx_files_are_told_layer_by_layer_too(models: Path) -> None:
    found = explain(models, "fp32-ort", "int8-ort", "--picture", models / "layers.svg")
    assert [layer["name"] for layer in found["layers"]] == LAYERS
    for layer in found["layers"]:
        assert layer["weights_db"] > 30
        assert layer["alone_db"] > 25
        assert layer["served_db"] > 20
        assert layer["saturated"] < 0.01
        assert layer["lost_points"] is not None
        assert layer["integer_kernel"] in {"QLinearConv", "QGemm"}
        assert layer["float_kernel"] in {"Conv", "FusedConv", "Gemm", "FusedGemm"}
        assert layer["float_us"] > 0
    torch_found = explain(models, "fp32", "int8")
    for layer, other in zip(found["layers"], torch_found["layers"], strict=True):
        assert layer["seen"] == pytest.approx(other["seen"], rel=1e-3, abs=1e-3)
    assert any("No layer is worth keeping in FP32" in sentence for sentence in found["advice"])
    assert {row["calibrator"] for row in found["sweep"]} == set(CALIBRATORS)


@pytest.mark.parametrize(
    ("layer", "tensor", "factor", "why"),
    [
        ("conv2", "r2_scale", 0.02, "scale is too small"),
        ("fc1", "r3_scale", 100.0, "scale is too large"),
        ("fc2", "fc2.weight_scale", 3.0, ""),
    ],
)
def test_the_layer_with_a_broken_scale_is_found_in_an_onnx_file(
    models: Path, layer: str, tensor: str, factor: float, why: str
) -> None:
    path = models / "mnist" / "1" / "int8-ort.onnx"
    model = onnx.load(path)
    held = next(one for one in model.graph.initializer if one.name == tensor)
    broken = onnx.numpy_helper.to_array(held) * np.float32(factor)
    held.CopyFrom(onnx.numpy_helper.from_array(broken.astype(np.float32), tensor))
    rewrite(path.parent, "int8-ort", model.SerializeToString())
    found = explain(models, "fp32-ort", "int8-ort")
    worst = min(found["layers"], key=lambda entry: entry["alone_db"])
    assert worst["name"] == layer
    assert found["advice"][0].startswith(f"{layer}: ")
    assert why in found["advice"][0]
    sound = [entry for entry in found["layers"] if entry["name"] != layer]
    assert all(entry["alone_db"] > 25 for entry in sound)


def test_a_dynamically_quantised_onnx_file_is_refused_in_words(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    folder = models / "mnist" / "1"
    floats = (folder / "fp32-ort.onnx").read_bytes()
    rewrite(folder, "int8-ort", quantize_onnx(floats, None, reduce_range=False))
    ran = CliRunner().invoke(app, ["explain", "mnist", "fp32-ort", "int8-ort", "--models", str(models)])
    assert (ran.exit_code, "it is quantised dynamically" in ran.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mnist", "int8", "fp32"], "name the one in floats first"),
        (["mnist", "fp32", "int4"], "variant 'int4': not in mnist"),
        (["mnist", "fp32", "int8-ort"], "are torchscript and onnx; explain looks into two of one runtime"),
        (["mnist", "int8-ort", "fp32-ort"], "name the one in floats first"),
        (["cifar"], "has no model 'cifar'"),
        (["mnist", "--picture", "layers.bmp"], "must end with .svg or .png"),
        (["mnist", "--images", "8"], "at least 32 are needed"),
    ],
)
def test_what_cannot_be_explained_is_said_in_words(
    built: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ran = CliRunner().invoke(app, ["explain", *arguments, "--models", str(built.parents[1])])
    assert ran.exit_code == 1
    assert said in " ".join(ran.output.split())
