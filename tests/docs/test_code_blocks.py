"""Every block of Python or shell on a page runs as it stands, against one server, or says why it does not.

In processes of their own: sybil and mktestdocs would run them in this one, which cannot hold Triton's client and ours.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from docs.pages import ROOT, Block, blocks
from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models
from twinserve_client.cli.root import app

BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if block.language in ("python", "bash") and not block.reason]
COMMANDS = [
    (str(block), line)
    for block in BLOCKS
    if block.language == "bash"
    for line in re.findall(
        r"(?m)^(?:\w+=\S+ )?(twinserve .+?|make .+?)\s*(?:#.*|&|> .*)?$", block.text.replace("\\\n", "")
    )
]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a reader works: a folder with models, and a server of them."""

    server: ServerProcess
    folder: Path

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """A block as it stands, but for the ports."""
        text = block.text.replace("127.0.0.1:8500", self.server.target)
        text = text.replace("127.0.0.1:8502", f"127.0.0.1:{self.server.metrics_port}")
        command = [sys.executable, "-c", text] if block.language == "python" else ["bash", "-euc", text]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TWINSERVE_TARGET": self.server.target}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def desk(torchscript_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A pair under the names of the pages, and the results of a load test."""
    folder = tmp_path_factory.mktemp("desk")
    models = make_tiny_models(folder / "models", model="mnist", item=(28, 28), runtime="onnx")
    # A page opens one without a server.
    shutil.copy(torchscript_models / "tiny" / "1" / "int8.pt", models / "mnist" / "1")
    images = np.random.default_rng(0).integers(0, 255, (64, 28, 28), np.uint8)
    info = json.dumps({"name": "tiny", "source": "made here", "train_images": 0, "test_images": 64, "full": False})
    labels = images.reshape(64, -1)[:, :5].argmax(1)
    np.savez(models / "mnist" / "testset.npz", images=images, labels=labels, info=np.array(info))
    path = models / "mnist" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["input"]["image"] = {"mode": "L", "foreground": "light_on_dark"}
    path.write_text(json.dumps(manifest))
    with ServerProcess(models, folder / "server", "--gateways", "1") as server:
        desk = Desk(server, folder)
        measure = "twinserve loadtest --mode closed --duration 1 --output reports/loadtest.json"
        done = desk.run(Block("", 0, "bash", measure, ""))
        assert done.returncode == 0, done.stderr
        yield desk


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs_as_it_stands(block: Block, desk: Desk) -> None:
    done = desk.run(block)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.reason], ids=str)
def test_what_is_not_run_says_why(block: Block) -> None:
    assert block.language in ("python", "bash")
    assert len(block.reason) > 15
    for path in re.findall(r"tests/[\w/.]+", block.reason):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_names_its_language(block: Block) -> None:
    assert block.language in ("bash", "json", "python", "text", "toml", "yaml")
    if block.language == "json" and block.text.startswith("{"):
        json.loads(block.text)


@pytest.mark.parametrize(("where", "line"), COMMANDS, ids=lambda value: value)
def test_every_command_and_option_exists(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        return
    command: Any = typer.main.get_command(app)
    words = words[1:]
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    assert command.name != "twinserve", line
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
