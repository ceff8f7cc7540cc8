"""Every command that writes says in one line what it cannot write, and leaves everything as it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from typer.testing import CliRunner, Result

from loadtest.report.sample_load_test import sample_load_test
from support.foreign_models import graph
from support.no_place import full_disk, no_permission, read_only, small_disk
from support.tiny_model import make_tiny_models
from twinserve_client.cli.root import app
from twinserve_loadtest.record.files import save_record

#: Two layers: enough to quantise.
WEIGHTS = {"w1": np.ones((8, 4), np.float32), "w2": np.ones((4, 2), np.float32)}


@dataclass(frozen=True)
class World:
    """What a user has: ``place`` is where everything is written to."""

    place: Path
    files: Path
    temporary: Path

    def run(self, command: str) -> Result:
        """``twinserve ...``"""
        words = command.format(place=self.place, files=self.files).split()
        return CliRunner().invoke(app, words)

    def content(self) -> dict[Path, bytes | None]:
        """Every file and folder; the lock of builds is none of them."""
        found = [*self.place.rglob("*"), *self.temporary.rglob("*")]
        return {path: None if path.is_dir() else path.read_bytes() for path in found if path.name != ".build.lock"}


COMMANDS = {
    "build": "models build --models {place}",
    "build_anew": "models build --name tiny --data {files}/own.npz --force --models {place}",
    "add": "models add price --fp32 {files}/net.onnx --input x:8:FP32 --output y:2:FP32:tensor --models {place}",
    "add_version": "models add net --fp32 {files}/net.onnx --input x:8:FP32 --output y:2:FP32:tensor --models {place}",
    "quantize_static": "models quantize net --calibration {files}/items.npz --models {place}",
    "quantize_dynamic": "models quantize net --dynamic --models {place}",
    "import": "models import-mlserver {files}/foreign --models {place}",
    "bench": "models bench tiny --models {place} --repeats 1 --images 8 --json {place}/bench.json",
    "bench_plots": "models bench tiny --models {place} --repeats 1 --images 8 --plots {place}/plots",
    "explain": "models explain tiny --models {place} --json {place}/explain.json",
    "loadtest": "loadtest --target 127.0.0.1:1 --output {place}/loadtest.json",
    "compare": "compare fp32 int8 --target 127.0.0.1:1 --output {place}/compare.json",
    "compare_summary": "compare fp32 int8 --target 127.0.0.1:1 --output {files}/x.json --summary {place}/summary.md",
    "compare_junit": "compare fp32 int8 --target 127.0.0.1:1 --output {files}/x.json --junit {place}/junit.xml",
    "demo": "demo --models {files}/none --reports {place}",
    "report": "report {files}/results.json --output {place}/page.html",
    "picture": "report {files}/results.json --output {files}/page.html --picture {place}/page.svg",
    "token": "token create app --role predict --file {place}/tokens",
    "revoke": "token revoke old --file {place}/tokens",
}

#: Those that write several files.
UNDONE = ("add", "add_version", "quantize_static", "quantize_dynamic", "import")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all: each test finds everything as it was, as that is what is tested."""
    folder = tmp_path_factory.mktemp("world")
    made = World(*(folder / name for name in ("place", "files", "temporary")))
    for path in (made.place, made.files / "foreign", made.temporary):
        path.mkdir(parents=True)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    data = graph(nodes, WEIGHTS, {"x": ("FLOAT", ["N", 8])}, {"y": ("FLOAT", ["N", 2])})
    (made.files / "net.onnx").write_bytes(data)
    (made.files / "foreign" / "net.onnx").write_bytes(data)
    (made.files / "foreign" / "model-settings.json").write_text(
        '{"name": "foreign", "implementation": "runtime.Onnx", "parameters": {"uri": "./net.onnx"},'
        ' "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 8]}],'
        ' "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]}'
    )
    np.savez(made.files / "items.npz", x=np.ones((20, 8), np.float32))
    np.savez(made.files / "own.npz", images=np.zeros((100, 28, 28), np.uint8), labels=np.arange(100) % 10)
    save_record(sample_load_test(100, full=False), made.files / "results.json")
    make_tiny_models(made.place, runtime="onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(made.temporary))
        for first in (COMMANDS["add"].replace("price", "net"), "token create old --role admin --file {place}/tokens"):
            assert made.run(first).exit_code == 0
        (made.place / "page.html").write_text("an earlier one")
        yield made


def failed(world: World, command: str, somewhere: AbstractContextManager[None]) -> str:
    """Run it ``somewhere``; what it said when it failed, having changed nothing. Empty: it succeeded."""
    with somewhere:
        before = world.content()
        done = world.run(COMMANDS[command])
        after = world.content()
    said = " ".join(done.output.split())
    if done.exit_code == 0:
        return ""
    assert isinstance(done.exception, SystemExit), done.exception
    assert after == before
    assert "Traceback" not in said
    assert "name another " in said
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_where_writing_is_not_permitted(world: World, command: str) -> None:
    said = failed(world, command, no_permission(world.place))
    assert f"{world.place}" in said
    assert "cannot be written (Permission denied); get permission to write there, or name another place" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_where_the_disk_is_full(world: World, command: str) -> None:
    said = failed(world, command, full_disk(0))
    assert str(world.place.parent) in said or "no temporary folder can be made" in said


@pytest.mark.namespaces
@pytest.mark.parametrize("command", COMMANDS)
def test_where_the_disk_is_mounted_read_only(world: World, command: str) -> None:
    said = failed(world, command, read_only(world.place))
    assert f"{world.place}" in said
    assert "cannot be written (Read-only file system); name another place" in said


@pytest.mark.namespaces
@pytest.mark.parametrize("command", COMMANDS)
def test_where_a_real_disk_is_full(world: World, command: str) -> None:
    said = failed(world, command, small_disk(world.place, 0))
    assert f"{world.place}" in said
    assert "cannot be written (No space left on device); make room, or name another place" in said


@pytest.mark.namespaces
@pytest.mark.parametrize("command", UNDONE)
def test_where_a_real_disk_becomes_full(world: World, command: str) -> None:
    free = 0
    while failed(world, command, small_disk(world.place, free)):
        free += 4096
    assert free > 0


@pytest.mark.parametrize("command", UNDONE)
def test_where_the_disk_becomes_full(world: World, command: str, tmp_path: Path) -> None:
    """After the first file, or the second one: a command does all of its work or none."""
    shutil.copytree(world.place, tmp_path / "place")
    own, limit = replace(world, place=tmp_path / "place"), 100
    while failed(own, command, full_disk(limit)):
        limit += 200
    assert limit > 100
