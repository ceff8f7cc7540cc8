"""From images to the artefacts of two runtimes: the published network, honest manifests, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from twinserve_models import build
from twinserve_models.bench import read_testset
from twinserve_models.data import load_test_images
from twinserve_models.evaluate import Forward, onnx_forward, predict_classes
from twinserve_models.machine import engine_for
from twinserve_models.net import Net
from twinserve_models.train import normalise
from twinserve_models.versions import BUILDING, REPLACED
from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.model.torchscript import configure_torch

TORCHSCRIPT = ("fp32", "int8", "int8-dynamic")
VARIANTS = (*TORCHSCRIPT, "fp32-ort", "int8-ort")


@pytest.fixture(scope="module")
def version(built: Path) -> ModelVersion:
    return read_manifest(built)


def load(version: ModelVersion, variant: str) -> Forward:
    entry = version.variants[variant]
    if entry.format == "onnx":
        return onnx_forward(read_artefact(entry))
    configure_torch(entry.quantized_engine, 1)
    module: torch.jit.ScriptModule = torch.jit.load(entry.path).eval()
    return module


def test_the_network_is_the_published_one() -> None:
    assert sum(parameter.numel() for parameter in Net().parameters()) == 1_199_882
    assert Net()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_all_variants_are_there_verified_and_described(version: ModelVersion) -> None:
    assert tuple(version.variants) == VARIANTS
    for variant in version.variants.values():
        read_artefact(variant)
    assert [variant.quantization for variant in version.variants.values()] == [
        *("none", "static", "dynamic"),
        *("none", "static"),
    ]
    assert [name for name, variant in version.variants.items() if variant.on_demand] == ["fp32-ort", "int8-ort"]
    assert (version.item_shape, version.datatypes) == ((28, 28), ("UINT8", "FP32"))
    assert version.dataset["full"] is False
    assert version.dataset["test_images"] == 1000


def test_a_quarter_of_the_size_and_the_same_accuracy(version: ModelVersion) -> None:
    sizes = {name: variant.bytes for name, variant in version.variants.items()}
    assert sizes["int8"] <= 0.26 * sizes["fp32"]
    assert sizes["int8-dynamic"] <= 0.27 * sizes["fp32"]
    assert sizes["int8-ort"] <= 0.26 * sizes["fp32-ort"]
    right = {
        name: entry["accuracy"]["correct"] for name, entry in json.loads(version.manifest_json)["variants"].items()
    }
    assert right["fp32"] > 850
    assert abs(right["int8"] - right["fp32"]) <= 10
    assert abs(right["fp32-ort"] - right["fp32"]) <= 1
    assert abs(right["int8-ort"] - right["int8"]) <= 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_picture_gets_the_same_answer_as_bytes_and_as_floats(
    built: Path, version: ModelVersion, variant: str
) -> None:
    images, labels = read_testset(built.parents[1], "mnist")
    module = load(version, variant)
    as_bytes = predict_classes(module, images)
    assert np.array_equal(as_bytes, predict_classes(module, images, as_float=True))
    stated = json.loads(version.manifest_json)["variants"][variant]["accuracy"]["correct"]
    assert abs(int((as_bytes == labels).sum()) - stated) <= 1


@pytest.mark.mnist
def test_folding_the_normalisation_changes_no_answer(trained: tuple[Path, Net], version: ModelVersion) -> None:
    """The served graph takes raw bytes; the network it stems from takes them normalised, step by step."""
    _, net = trained
    images, _, info = load_test_images()
    assert (info.full, len(images)) == (True, 10_000)
    served = predict_classes(load(version, "fp32"), images)
    unfolded = predict_classes(lambda pixels: net(normalise(pixels)), images)
    assert int((served != unfolded).sum()) == 0
    assert len(set(unfolded.tolist())) == 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_artefact_returns_probabilities(version: ModelVersion, variant: str) -> None:
    with torch.inference_mode():
        output = load(version, variant)(torch.zeros((3, 28, 28), dtype=torch.uint8))
    assert (output.dtype, tuple(output.shape)) == (torch.float32, (3, 10))
    assert torch.allclose(output.sum(1), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize(("machine", "engine"), [("x86_64", "x86"), ("aarch64", "qnnpack"), ("arm64", "qnnpack")])
def test_the_engine_suits_the_machine(machine: str, engine: str) -> None:
    assert engine_for(machine) == engine


def test_a_build_that_is_interrupted_leaves_what_was_there(
    built: Path, tmp_path: Path, no_mnist: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    (folder / "mnist").mkdir(parents=True)
    (folder / "mnist" / "1").symlink_to(built)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.build_models(folder, progress=False, force=True)
    assert [path.name for path in (folder / "mnist").iterdir()] == ["1"]
    assert read_manifest(folder / "mnist" / "1").model == "mnist"


def test_a_build_that_was_killed_while_it_replaced_a_version_gives_the_old_one_back(
    built: Path, tmp_path: Path
) -> None:
    """Between the two renames the version is in neither place."""
    aside = tmp_path / "mnist" / f"{BUILDING}killed" / f"{REPLACED}1"
    shutil.copytree(built, aside)
    assert build.ensure_models(tmp_path, progress=False) == tmp_path / "mnist" / "1"
    assert [path.name for path in (tmp_path / "mnist").iterdir()] == ["1"]
    assert read_manifest(tmp_path / "mnist" / "1").manifest_json == read_manifest(built).manifest_json


def test_what_is_there_is_not_built_again(built: Path) -> None:
    before = (built / "manifest.json").stat().st_mtime_ns
    assert build.ensure_models(built.parents[1], progress=False) == built
    assert (built / "manifest.json").stat().st_mtime_ns == before
