"""Every benchmark that a make target starts can be started, and its variants with known faults can be made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from support.tiny_model import ITEM, classes_of, items


@pytest.mark.parametrize(
    "module",
    ["run", "peers.run", "calibration", "open_inference", "perf_analyzer", "foreign_clients", "device_check"],
)
def test_it_explains_itself(module: str) -> None:
    command = [sys.executable, "-m", f"twinserve_bench.{module}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_an_arm_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "twinserve_bench.run", "--only", "fast,egde"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--only: egde is not among noop, aio, fast, native, edge" in done.stderr


def test_planted_variants_flip_what_they_say(torchscript_models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "twinserve_bench.plant", "--models", str(torchscript_models), "--model", "tiny"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "planted.json").read_text())["planted"]
    assert {"slower-10", "slower-50", "flipped-3"} <= told.keys()
    pixels = items(64, seed=1)
    module = torch.jit.load(str(tmp_path / "tiny" / "1" / "flipped-3.pt"))
    right = (module(torch.from_numpy(pixels.reshape(-1, *ITEM))).argmax(1).numpy() == classes_of(pixels)).mean()
    assert right - 1 == pytest.approx(told["flipped-3"]["difference"])
    slower = torch.jit.load(str(tmp_path / "tiny" / "1" / "slower-10.pt"))
    assert np.array_equal(slower(torch.from_numpy(pixels)).argmax(1).numpy(), classes_of(pixels))
