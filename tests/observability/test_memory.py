"""The memory that the server reports for a variant is what a fresh interpreter measures for the same artefact."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess, wait_until

BATCH_LIMIT = 32
WIDTH = 2048
#: What an interpreter's own heap gains or gives back beside the model: a megabyte, whatever the model weighs.
HEAP = 2 << 20
STAGES = ("load", "first_inference", "batch_limit")

#: Loads an artefact in an interpreter of its own and prints the anonymous PSS it gained, by the kernel's own account.
MEASURE = """
import ctypes, json, sys
import numpy as np
import torch

def anonymous():
    ctypes.CDLL(None).malloc_trim(0)
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Pss_Anon:"):
            return 1024 * int(line.split()[1])

path, limit = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
before = anonymous()
model = torch.jit.load(path).eval()
gained = {"load": anonymous() - before}
with torch.inference_mode():
    for stage, images in (("first_inference", 1), ("batch_limit", limit)):
        for dtype in (torch.uint8, torch.float32):
            model(torch.zeros((images, 28, 28), dtype=dtype)).numpy().argmax(1)
        gained[stage] = anonymous() - before
print(json.dumps(gained))
"""


@pytest.fixture(scope="module")
def weighty_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair that weighs something: linears of some 40 MB in FP32, and the same quantised dynamically."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(784, WIDTH),
                torch.nn.ReLU(),
                torch.nn.Linear(WIDTH, WIDTH),
                torch.nn.ReLU(),
                torch.nn.Linear(WIDTH, WIDTH),
                torch.nn.ReLU(),
                torch.nn.Linear(WIDTH, 10),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x
            return torch.softmax(self.layers(y.flatten(1)), 1)

    torch.manual_seed(0)
    net = Net().eval()
    small = torch.ao.quantization.quantize_dynamic(net, {torch.nn.Linear})
    folder = tmp_path_factory.mktemp("weighty") / "weighty" / "1"
    folder.mkdir(parents=True)
    variants = {}
    for name, module, method in (("fp32", net, "none"), ("int8", small, "dynamic")):
        path = folder / f"{name}.pt"
        torch.jit.script(module).save(str(path))
        data = path.read_bytes()
        variants[name] = {
            "file": path.name,
            "format": "torchscript",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "max_batch_size": BATCH_LIMIT,
            "quantization": {"method": method},
        }
    manifest = {
        "schema_version": 1,
        "model": "weighty",
        "version": "1",
        "input": {"datatypes": ["UINT8", "FP32"], "shape": [28, 28], "ranges": {"UINT8": [0, 255], "FP32": [0, 1]}},
        "output": {"kind": "probabilities", "labels": [str(digit) for digit in range(10)]},
        "variants": variants,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder.parents[1]


@pytest.fixture(scope="module")
def weighty(weighty_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(weighty_models, tmp_path_factory.mktemp("server"), "--gateways", "1") as server:
        yield server


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_what_a_model_adds_is_what_a_fresh_interpreter_gains(
    weighty: ServerProcess, weighty_models: Path, variant: str
) -> None:
    path = weighty_models / "weighty" / "1" / f"{variant}.pt"
    command = [sys.executable, "-c", MEASURE, str(path), str(BATCH_LIMIT)]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for stage in STAGES:
        reported = weighty.metric("twinserve_model_added_bytes", variant=variant, stage=stage)
        assert reported == pytest.approx(measured[stage], rel=0.1, abs=HEAP), stage
    assert measured["load"] >= 0.9 * path.stat().st_size


def test_what_the_processes_hold_is_what_the_kernel_says(weighty: ServerProcess) -> None:
    models = [process for process in weighty.processes() if process.role == "model"]
    assert len(models) == 2

    def told_as_held() -> bool:
        # A process's share of the libraries grows when a neighbour that mapped them ends: asked again, both agree.
        return all(
            weighty.metric("twinserve_model_resident_bytes", variant=process.variant, kind=kind)
            == pytest.approx(held(process.pid)[kind], rel=0.1)
            for process in models
            for kind in ("pss", "rss")
        )

    wait_until(told_as_held, 60, lambda: str([held(process.pid) for process in models]))


def held(pid: int) -> dict[str, int]:
    """PSS and RSS of a process in bytes, by the kernel's own account."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kinds = dict(line.split(":", 1) for line in lines if line.startswith(("Pss:", "Rss:")))
    return {kind.lower(): 1024 * int(size.split()[0]) for kind, size in kinds.items()}
