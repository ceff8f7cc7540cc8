"""``twinserve versions`` against a running server: what it shows, what it changes, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.server_process import ServerProcess
from support.tiny_model import items, make_tiny_models
from support.versions import add_version
from twinserve_client import Client
from twinserve_client.cli.versions import app


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good versions, of which a server starts with the second, and later a broken third."""
    root = make_tiny_models(tmp_path_factory.mktemp("models"), ("fp32", "int8"), runtime="onnx")
    add_version(root, "2")
    return root


@pytest.fixture(scope="module")
def running(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server."""
    with ServerProcess(models, tmp_path_factory.mktemp("server"), "--profile", "isolated") as server:
        (add_version(models, "3") / "int8.onnx").write_bytes(b"half")
        yield server


def run(server: ServerProcess | str, *arguments: str) -> Result:
    """Run the command against a server."""
    target = server if isinstance(server, str) else server.target
    return CliRunner().invoke(app, [*arguments, "--target", target], env={"COLUMNS": "160"})


def test_a_version_is_activated_rolled_back_and_unloaded(running: ServerProcess) -> None:
    assert run(running).stdout.splitlines()[::3] == ["tiny: version 2 is active", "     1  available"]

    activated = run(running, "activate", "1", "--keep")
    assert activated.exit_code == 0, activated.output
    assert activated.stdout.splitlines()[0] == "tiny: version 1 is active (previously: 2)"
    assert "*    1  loaded     fp32, int8" in activated.stdout
    assert "     2  loaded     fp32, int8" in activated.stdout

    back = run(running, "rollback")
    assert back.exit_code == 0, back.output
    with Client(running.target) as client:
        assert client.predict(items(1)).version == "2"

    loaded = run(running, "load", "1")
    assert loaded.exit_code == 0, loaded.output
    with Client(running.target) as client:
        answers = client.compare(items(1), ["int8@1", "int8@2"])
    assert {name: answer.version for name, answer in answers.items()} == {"int8@1": "1", "int8@2": "2"}
    unloaded = run(running, "unload", "1")
    assert "     1  available" in unloaded.stdout


def test_a_broken_version_is_refused_with_file_and_cause(running: ServerProcess) -> None:
    refused = run(running, "activate", "3")
    assert refused.exit_code == 1
    assert "3/int8.onnx: is corrupt: 4 bytes" in refused.stderr
    assert "FAILED_PRECONDITION" in refused.stderr
    (model,) = json.loads(run(running, "--json").stdout)
    assert model["active"] == "2"
    states = {entry["version"]: (entry["state"], entry["reason"]) for entry in model["versions"]}
    assert states["3"][0] == "broken"
    assert "int8.onnx: is corrupt" in states["3"][1]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["activate", "7"], "version: '7' of tiny is not in", 2),
        (["activate", "../1"], "version: is '../1'; give a number", 2),
        (["unload"], "unload: which one?", 2),
        (["list", "1"], "list takes no version", 2),
        (["load", "1", "--keep"], "--keep goes with activate and rollback", 2),
        (["unload", "2"], "version 2 of tiny is active; activate another one first", 1),
    ],
)
def test_what_cannot_be_done_is_named(running: ServerProcess, arguments: list[str], words: str, code: int) -> None:
    before = run(running, "--json").stdout
    result = run(running, *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert run(running, "--json").stdout == before


def test_without_a_server_it_says_so() -> None:
    result = run("127.0.0.1:1")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
