"""The checks of a GPU run as a whole without one: with ``--device cpu`` only the device differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twinserve_bench.device_check import table

SCRIPT = Path(__file__).parents[2] / "deploy" / "gpu" / "check.sh"


def check(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *flags],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
    )


def test_arms_are_built_served_and_measured_beside_the_bare_module(tmp_path: Path) -> None:
    small = ("--precisions", "bf16", "--batches", "1,8", "--seconds", "0.1", "--in-flight", "2", "--train-images", "64")
    done = check("--device", "cpu", *small, "--output", str(tmp_path / "device.json"))
    assert done.returncode == 0, done.stderr
    (arm,) = json.loads((tmp_path / "device.json").read_text())["arms"].values()
    assert arm["runtime"]["device"] == "cpu"
    assert arm["runtime"]["device_bytes"] == {}
    for both in arm["batches"].values():
        assert all(figure > 0 for side in both.values() for figure in side.values())
    assert "| bf16-cpu | 8 |" in done.stdout
    assert "tests marked 'gpu' are left out: torch finds no CUDA device" in done.stdout


def test_a_device_that_is_not_there_ends_it_in_one_line() -> None:
    done = check("--device", "cuda:99")
    assert done.returncode == 1
    assert "--devices cuda:99: is not there: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_ratio_at_1024_is_held_against_its_target() -> None:
    def figures(rate: float) -> dict[str, float]:
        return {"images_per_second": rate, "p50_ms": 1.0}

    runtime = {"device": "cuda:0 (a card)", "device_bytes": {"context": 500 << 20, "weights": 5 << 20}}
    arm = {"batch_limit": 4096, "runtime": runtime, "batches": {1024: {"bare": figures(100), "service": figures(79)}}}
    told = table({"arms": {"fp16-cuda": arm}})
    assert "fp16-cuda at 1024: service / bare 0.79, target 0.8: not reached" in told
    assert "fp16-cuda on cuda:0 (a card): batch limit 4096; memory context 500 MiB, weights 5 MiB" in told
