"""``models quantize`` adds an INT8 variant that computes in integers, or says why it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from typer.testing import CliRunner, Result

from support.foreign_models import graph
from twinserve_models.cli import app
from twinserve_server.artefact.repository import load_repository

RANDOM = np.random.default_rng(0)
WEIGHTS = {"w1": RANDOM.normal(size=(16, 64)).astype(np.float32), "w2": RANDOM.normal(size=(64, 4)).astype(np.float32)}

MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)

    def forward(self, x):
        return self.second(self.relu(self.first(x)))

def net():
    return Net()

def frozen():
    return torch.jit.script(Net())

def fails():
    return 1 / 0
"""


def run(*arguments: str) -> Result:
    """``twinserve models ...``, in the current folder."""
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two layers as ONNX, a module of the same shape, and items to calibrate with."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    data = graph(nodes, WEIGHTS, {"x": ("FLOAT", ["N", 16])}, {"y": ("FLOAT", ["N", 4])})
    (tmp_path / "net.onnx").write_bytes(data)
    (tmp_path / "own_nets.py").write_text(MODULE)
    np.savez(tmp_path / "items.npz", x=RANDOM.normal(size=(200, 16)).astype(np.float32))
    result = run("add", "net", "--fp32", "net.onnx", "--input", "x:16:FP32", "--output", "y:4:FP32:tensor")
    assert result.exit_code == 0, result.output
    return tmp_path


def kernels(result: Result) -> dict[str, int]:
    """What ran, of a command with ``--json``."""
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["warning"] == ""
    found: dict[str, int] = told["kernels"]
    return found


def test_an_onnx_file_becomes_static_int8_in_the_manifest(folder: Path) -> None:
    found = kernels(run("quantize", "net", "--calibration", "items.npz", "--json"))
    assert any("QLinear" in name or "Integer" in name for name in found), found
    version = load_repository(folder / "models")["net"]
    variant = version.variants["int8"]
    assert (variant.format, variant.quantization, variant.precision) == ("onnx", "static", "int8")
    assert variant.bytes == Path(variant.path).stat().st_size


def test_dynamic_int8_needs_no_items(folder: Path) -> None:
    found = kernels(run("quantize", "net", "--dynamic", "--json"))
    assert any("Integer" in name or "Dynamic" in name for name in found), found
    assert load_repository(folder / "models")["net"].variants["int8-dynamic"].quantization == "dynamic"


@pytest.mark.parametrize(("how", "kernel"), [("--static", "quantized::linear"), ("--dynamic", "linear_dynamic")])
def test_a_module_of_the_users_becomes_torchscript(folder: Path, how: str, kernel: str) -> None:
    options = ("--calibration", "items.npz", "--from", "own_nets:net", "--variant", "int8-torch", "--json")
    found = kernels(run("quantize", "net", how, *options))
    assert any(kernel in name for name in found), found
    variant = load_repository(folder / "models")["net"].variants["int8-torch"]
    assert variant.format == "torchscript"
    module = torch.jit.load(variant.path)
    assert module(torch.zeros(5, 16)).shape == (5, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--calibration: is missing"),
        (["--calibration", "nowhere.npz"], "nowhere.npz: cannot be read"),
        (["--calibration", "items.npz", "--of", "int4"], "--of int4: is not a variant of net; the variants are fp32"),
        (["--dynamic", "--variant", "fp32"], "variant 'fp32': is there already"),
        (["--calibration", "items.npz", "--from", "own_nets:frozen"], "TorchScript, which cannot be quantised again"),
        (["--calibration", "items.npz", "--from", "own_nets:fails"], "the function failed (ZeroDivisionError"),
        (["--calibration", "items.npz", "--from", "own_nets:no"], "module does not define no"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_added(folder: Path, options: list[str], words: str) -> None:
    result = run("quantize", "net", *options)
    assert result.exit_code == 1
    assert words in result.output
    assert list(load_repository(folder / "models")["net"].variants) == ["fp32"]


def test_items_of_another_shape_are_refused(folder: Path) -> None:
    np.savez(folder / "odd.npz", x=np.zeros((3, 5), np.float32))
    result = run("quantize", "net", "--calibration", "odd.npz")
    assert (result.exit_code, "x is [3, 5]; items of [16] are needed" in result.output) == (1, True)


def test_a_frozen_torchscript_file_alone_cannot_be_quantised(folder: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(16, 4)).eval()), folder / "net.pt")
    declared = ("--input", "x:16:FP32", "--output", "y:4:FP32:tensor")
    assert run("add", "frozen", "--fp32", "net.pt", *declared).exit_code == 0
    result = run("quantize", "frozen", "--calibration", "items.npz")
    assert result.exit_code == 1
    assert "is a TorchScript file" in result.output
    assert "Give --from module:function" in result.output
