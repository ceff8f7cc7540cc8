"""Variants for a CUDA device: what is refused where there is none, what holds where there is one (marked ``gpu``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.odd_artefacts import saved, script, write_model
from support.serve_command import one_line, run_serve
from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.artefact.upgrade import upgraded
from twinserve_server.errors import ArtefactError
from twinserve_server.model.forward import Forward

GOOD = "return torch.softmax(x[:, :3] * 5, 1)"
#: So much arithmetic that its launch and its end lie apart.
HEAVY = "y = torch.ones([4096, 4096], device=x.device)\ny = y @ y @ y\nreturn torch.softmax(x[:, :3] + y[0, 0] * 0, 1)"

Load = Callable[..., Forward]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a script for a device."""

    def load(body: str, device: str, precision: str = "") -> Forward:
        version = read_manifest(write_model(tmp_path / "models", saved(script(body))) / "odd" / "1")
        return Forward(version, replace(version.variants["fp32"], device=device, precision=precision), 1, 16)

    return load


def test_a_device_that_is_not_there_is_named_with_what_to_do(load: Load) -> None:
    with pytest.raises(ArtefactError) as caught:
        load(GOOD, "cuda:99")
    assert "device 'cuda:99' is not there: " in caught.value.message
    assert "serve the variants for the CPU: name them with --variants" in caught.value.message


def test_int8_on_a_cuda_device_is_refused_wherever_it_is_tried(load: Load) -> None:
    with pytest.raises(ArtefactError, match="torch has no INT8 kernels for CUDA; use fp32, fp16 or bf16 there"):
        load(GOOD, "cuda:0", precision="int8")


def test_onnx_files_run_on_the_cpu_alone(tiny_models: Path) -> None:
    version = read_manifest(tiny_models / "tiny" / "1")
    with pytest.raises(ArtefactError, match="device 'cuda:0': ONNX files run on the CPU"):
        Forward(version, replace(version.variants["fp32"], device="cuda:0"), 1, 8)


def test_the_other_variants_serve_and_the_one_without_its_device_says_so_when_named(tmp_path: Path) -> None:
    path = make_tiny_models(tmp_path / "models") / "tiny" / "1" / "manifest.json"
    manifest = upgraded(json.loads(path.read_text()))
    manifest["variants"]["int8"] |= {"device": "cuda:99", "on_demand": True}
    path.write_text(json.dumps(manifest))
    with ServerProcess(tmp_path / "models", tmp_path / "server") as server:
        assert server.metric("twinserve_model_ready", variant="fp32") == 1
    ended = run_serve("--models", str(tmp_path / "models"), "--variants", "fp32,int8")
    assert ended.returncode == 1
    assert "int8.pt: device 'cuda:99' is not there: " in one_line(ended.stderr)
    assert "Traceback" not in ended.stderr


@pytest.mark.gpu
def test_the_answers_of_a_device_are_those_of_the_cpu(load: Load, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).random((16, 6), np.float32).tobytes()
    here = Forward(
        version := read_manifest(write_model(tmp_path / "here", saved(script(GOOD))) / "odd" / "1"),
        version.variants["fp32"],
        1,
        16,
    )
    there = load(GOOD, "cuda:0")
    for images in (1, 3, 16):
        data = pixels[: images * 24]
        expected = np.frombuffer(here(data, "FP32", images).probabilities, np.float32)
        found = np.frombuffer(there(data, "FP32", images).probabilities, np.float32)
        assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.gpu
def test_the_time_of_a_pass_is_that_of_its_work(load: Load) -> None:
    import torch

    forward = load(HEAVY, "cuda:0")
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    answers = forward(bytes(24), "FP32", 1)
    end.record()
    end.synchronize()
    assert answers.inference_ns / 1e6 > 0.5 * begin.elapsed_time(end)


@pytest.mark.gpu
def test_memory_is_told_in_three_figures_that_nvml_bears_out(load: Load) -> None:
    found = load(HEAVY, "cuda:0").facts.runtime.device_bytes
    assert found["peak_reserved"] >= 3 * 4096 * 4096 * 4
    if "process" in found:
        assert found["context"] > 50 << 20
        assert found["context"] + found["peak_reserved"] == pytest.approx(found["process"], rel=0.2)
