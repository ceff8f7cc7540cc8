"""``twinserve traffic`` against a running server: what it shows, what it changes, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models
from twinserve_client import Client
from twinserve_client.cli.traffic import app


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server with two gateways and a tiny pair."""
    models = make_tiny_models(tmp_path_factory.mktemp("models"), runtime="onnx")
    with ServerProcess(models, tmp_path_factory.mktemp("server"), "--gateways", "2") as server:
        yield server


def run(target: str, *arguments: str) -> Result:
    """Run the command against ``target``."""
    return CliRunner().invoke(app, [*arguments, "--target", target], env={"COLUMNS": "160"})


def test_shares_are_shown_changed_and_in_force(running: ServerProcess) -> None:
    before = run(running.target)
    assert before.exit_code == 0, before.output
    assert "fp32              100.0%" in before.output

    changed = run(running.target, "--split", "int8=0.25", "--shadow", "int8=0.5")
    assert changed.exit_code == 0, changed.output
    assert "int8               25.0%" in changed.output
    assert "int8               50.0%  as a shadow" in changed.output
    with Client(running.target) as client:
        policy = client.get_traffic()
    assert policy.weights == {"int8": 0.25, "fp32": 0.75}

    ended = run(running.target, "--shadow", "int8=0")
    assert "shadow" not in ended.output
    assert "int8               25.0%" in ended.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "int8"], "--split 'int8': give a variant and a share from 0 to 1"),
        (["--split", "int8=2"], "--split 'int8=2'"),
        (["--shadow", "=0.1"], "--shadow '=0.1'"),
        (["--split", "int8=0.7", "--split", "fp32=0.7"], "the shares sum to 1.4, more than 1"),
        (["--split", "int4=0.1"], "int4"),
    ],
)
def test_a_wrong_share_is_named(running: ServerProcess, arguments: list[str], words: str) -> None:
    before = run(running.target).output
    result = run(running.target, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert run(running.target).output == before


def test_without_a_server_it_says_so() -> None:
    result = run("127.0.0.1:1")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_json_is_the_policy(running: ServerProcess) -> None:
    done = run(running.target, "--json")
    assert done.exit_code == 0, done.output
    with Client(running.target) as client:
        policy = client.get_traffic()
    assert json.loads(done.stdout) == {
        "model": "tiny",
        "weights": dict(policy.weights),
        "shadows": dict(policy.shadows),
        "generation": policy.generation,
        "generations": {},
    }
