"""Arms for a device: three precisions of the same weights. The CPU is one that every machine has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.conftest import hide_mnist
from twinserve_models.data import load_dataset
from twinserve_models.devices import SIZES, Device, device_artefacts
from twinserve_models.export import export_version
from twinserve_models.mnist_files import DataError
from twinserve_models.net import Net
from twinserve_models.train import Recipe, Training
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.model.forward import Forward

ARMS = ("fp32-cpu", "fp16-cpu", "bf16-cpu")


@pytest.fixture(scope="module")
def version(trained: tuple[Path, Net], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version folder with the arms for the CPU."""
    _, net = trained
    with pytest.MonkeyPatch.context() as patch:
        hide_mnist(patch)
        dataset = load_dataset(None)
    folder = tmp_path_factory.mktemp("arms") / "mnist" / "1"
    folder.mkdir(parents=True)
    artefacts = device_artefacts(net, dataset, [Device("cpu")])
    export_version(folder, artefacts, Training(net, Recipe(epochs=1), 0, [0.5], 1.0), dataset.info)
    return folder


def test_every_precision_is_an_arm_that_is_served_on_demand(version: Path) -> None:
    variants = json.loads((version / "manifest.json").read_text())["variants"]
    arms = {name: variants[name] for name in ARMS}
    assert [arm["precision"] for arm in arms.values()] == ["fp32", "fp16", "bf16"]
    assert all(arm["on_demand"] and arm["device"] == "cpu" for arm in arms.values())
    assert all(arm["max_batch_size"] in SIZES for arm in arms.values())
    assert arms["fp32-cpu"]["bytes"] > 1.8 * arms["fp16-cpu"]["bytes"]


def test_the_arms_answer_as_the_usual_fp32_does(built: Path, version: Path) -> None:
    usual, arms = read_manifest(built), read_manifest(version)
    pixels = np.random.default_rng(2).integers(0, 256, (8, 28, 28), np.uint8).tobytes()
    found = {}
    for name, tolerance in {"fp32": 0.0, "fp32-cpu": 1e-5, "fp16-cpu": 0.01, "bf16-cpu": 0.05}.items():
        read = usual if name == "fp32" else arms
        forward = Forward(read, read.variants[name], 1, 8)
        answers = forward(pixels, "UINT8", 8)
        found[name] = np.frombuffer(answers.probabilities, np.float32)
        assert np.abs(found[name] - found["fp32"]).max() <= tolerance
        assert forward.facts.runtime.device == "cpu"
        assert forward.facts.runtime.device_bytes == {}
    entries = json.loads(usual.manifest_json)["variants"] | json.loads(arms.manifest_json)["variants"]
    correct = [entries[name]["accuracy"]["correct"] for name in found]
    assert max(correct) - min(correct) <= 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda", "is not a device; give cuda:0 or cpu"),
        ("cuda:x", "is not a device; give cuda:0 or cpu"),
        ("tpu:0", "is not a device; give cuda:0 or cpu"),
        ("cuda:99", "--devices cuda:99: is not there: "),
    ],
)
def test_a_device_that_is_not_there_is_said_before_anything_is_trained(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Device(name).check()


def test_variants_are_named_after_precision_and_device() -> None:
    names = [Device(name).variant("bf16") for name in ("cpu", "cuda:0", "cuda:1")]
    assert names == ["bf16-cpu", "bf16-cuda", "bf16-cuda1"]
