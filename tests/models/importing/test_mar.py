"""A TorchServe archive becomes a model folder that a server serves; what is not carried over is named."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from support.server_process import ServerProcess
from twinserve_client import Client
from twinserve_models.cli import app

SHAPE = (1, 4, 4)
NAMES = ["ant", "bee", "cat"]


class Net(torch.nn.Module):
    """Three classes: the brightest of the first three pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return x.flatten(1)[:, :3] * 5


def make_mar(path: Path, **changes: bytes | None) -> Path:
    """An archive laid out as torch-model-archiver lays it out; ``changes`` replace or remove members."""
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(Net()), script)
    told: dict[str, Any] = {
        "createdOn": "31/01/2026 12:00:00",
        "runtime": "python",
        "model": {
            "modelName": "insects",
            "serializedFile": "net.pt",
            "handler": "image_classifier",
            "modelVersion": "2.0",
        },
        "archiverVersion": "0.12.0",
    }
    members: dict[str, bytes | None] = {
        "MAR-INF/MANIFEST.json": json.dumps(told).encode(),
        "net.pt": script.getvalue(),
        "index_to_name.json": json.dumps({str(i): [f"n{i}", name] for i, name in enumerate(NAMES)}).encode(),
        "model-config.yaml": b"batchSize: 8\n",
        "requirements.txt": b"numpy\n",
    }
    for name, data in changes.items():
        members[{"manifest": "MAR-INF/MANIFEST.json", "script": "net.pt", "labels": "index_to_name.json"}[name]] = data
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_an_archive_is_imported_and_served(tmp_path: Path, serve: Callable[..., ServerProcess]) -> None:
    archive, models = make_mar(tmp_path / "insects.mar"), tmp_path / "models"
    options = ["--shape", "1,4,4", "--models", str(models), "--json"]
    done = CliRunner().invoke(app, ["import-mar", str(archive), *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["model"], told["folder"]) == ("insects", str(models / "insects" / "1"))
    left = "\n".join(told["left_out"])
    assert "handler image_classifier" in left
    assert "batchSize is --max-batch-size" in left
    assert "requirements.txt" in left
    items = np.random.default_rng(0).random((5, *SHAPE), np.float32)
    server = serve(models, "--gateways", "1")
    with Client(server.target) as client:
        answer = client.predict(items, variant="fp32")
        assert client.describe_model().labels == tuple(NAMES)
    expected = torch.softmax(Net()(torch.from_numpy(items)), 1).numpy()
    assert np.allclose(answer.probabilities, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"manifest": None}, [], "holds no MAR-INF/MANIFEST.json"),
        ({"manifest": b"{"}, [], "MANIFEST.json is not JSON"),
        ({"manifest": b'{"model": {"modelFile": "net.py", "serializedFile": "net.pt"}}'}, [], "an eager model"),
        ({"script": None}, [], "holds no net.pt"),
        ({"script": b"weights"}, [], "is not a TorchScript file"),
        ({"labels": b'{"0": "ant"}'}, [], "does not name the classes 0 to 2"),
        ({}, ["--shape", "1"], "returns float32 [2, 1] for two items"),
        ({}, ["--name", "../b"], "--name: '../b' is not a valid name"),
        ({}, ["--variant", "FP32"], "--variant: 'FP32' is not a valid name"),
    ],
)
def test_what_cannot_be_imported_is_said_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, bytes | None], options: list[str], words: str
) -> None:
    archive, models = make_mar(tmp_path / "insects.mar", **changes), tmp_path / "models"
    done = CliRunner().invoke(app, ["import-mar", str(archive), "--shape", "1,4,4", "--models", str(models), *options])
    assert "Traceback" not in done.output
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert not models.exists()
