"""Triton's own client loads and unloads models while the server runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.server_process import ServerProcess
from support.tiny_model import classes_of, items, make_tiny_models
from support.versions import add_version
from twinserve.inference import open_inference_pb2 as pb
from twinserve.inference import open_inference_pb2_grpc as oip
from twinserve.v1 import admin_pb2
from twinserve_server.access.token_file import create_token

SCRIPT = Path(__file__).with_name("triton_client.py")
SECONDS = 120


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one version each."""
    root = make_tiny_models(tmp_path_factory.mktemp("models"), runtime="onnx")
    make_tiny_models(root, model="other", runtime="onnx")
    return root


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that answers on one port; version 2 of its first model appears later, and confuses classes 0 and 1."""
    flags = ("--variants", "int8", "--default-model", "other", "--profile", "isolated")
    with ServerProcess(models, tmp_path_factory.mktemp("server"), *flags) as process:
        add_version(models, "2", swapped=True)
        yield process


def ask(server: ServerProcess, question: str, **arguments: Any) -> Any:
    """The answer to a question of ``tritonclient``."""
    command = [sys.executable, str(SCRIPT), server.target, question, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def index(models: list[dict[str, str]]) -> dict[tuple[str, str], str]:
    return {(entry["name"], entry["version"]): entry["state"] for entry in models if entry["name"] == "tiny"}


def test_load_activates_the_greatest_version_and_everything_tells_of_it(server: ServerProcess) -> None:
    found = ask(server, "load", model="tiny")
    assert found["metadata"]["versions"] == ["2"]
    assert found["model_ready"]
    assert index(found["index"]["models"]) == {("tiny", "2"): "READY"}
    expected = [[{0: 1, 1: 0}.get(name, name)] for name in classes_of(items(20)).tolist()]
    answer = ask(server, "infer", model="tiny", pixels=items(20).tolist())
    assert (answer["version"], answer["classes"]) == ("2", expected)


def test_a_loaded_version_answers_by_its_number(server: ServerProcess) -> None:
    ask(server, "load", model="tiny")
    server.admin.LoadVersion(admin_pb2.LoadVersionRequest(model="tiny", version="1"), timeout=SECONDS)
    pixels = items(20).tolist()
    known = [[name] for name in classes_of(items(20)).tolist()]
    for name in ("tiny", "tiny_int8"):
        answer = ask(server, "infer", model=name, pixels=pixels, model_version="1")
        assert (answer["version"], answer["classes"]) == ("1", known)
    assert set(ask(server, "describe", model="tiny")["metadata"]["versions"]) == {"1", "2"}
    server.admin.UnloadVersion(admin_pb2.UnloadVersionRequest(model="tiny", version="1"), timeout=SECONDS)
    status, message = ask(server, "refused", model="tiny", pixels=pixels, version="1")
    assert status == "StatusCode.NOT_FOUND"
    assert "loaded are: 2" in message


def test_unload_ends_a_model_until_it_is_loaded_again(server: ServerProcess) -> None:
    ask(server, "load", model="tiny")
    assert index(ask(server, "unload", model="tiny")) == {("tiny", "2"): "UNAVAILABLE"}
    status, _ = ask(server, "refused", model="tiny", pixels=items(1).tolist())
    assert status == "StatusCode.NOT_FOUND"
    assert ask(server, "load", model="tiny")["model_ready"]


@pytest.mark.parametrize(
    ("question", "arguments", "words"),
    [
        ("load", {"model": "tiny_int8"}, "is a variant; a model is loaded as a whole: give 'tiny'"),
        ("load", {"model": "nobody"}, "'nobody' is not in"),
        ("load", {"model": "tiny", "config": "{}"}, "parameters['config']: is not supported"),
        ("unload", {"model": "other"}, "other answers the requests that name no model"),
    ],
)
def test_what_cannot_be_done_is_named(server: ServerProcess, question: str, arguments: Any, words: str) -> None:
    _, message = ask(server, question, **arguments)
    assert words in message


def test_load_and_unload_are_admin_calls(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    secrets = {name: create_token(file, name, [name]) for name in ("predict", "admin")}
    flags = ("--variants", "int8", "--tokens", str(file), "--admin-port", "0", "--profile", "isolated")
    with ServerProcess(models, tmp_path / "s", *flags) as server:

        def load(channel: grpc.Channel, role: str) -> grpc.StatusCode:
            metadata = (("authorization", f"Bearer {secrets[role]}"),)
            request = pb.RepositoryModelLoadRequest(model_name="tiny")
            try:
                oip.GRPCInferenceServiceStub(channel).RepositoryModelLoad(request, metadata=metadata, timeout=SECONDS)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        assert server.admin_target != server.target
        assert load(server.admin_channel, "predict") is grpc.StatusCode.PERMISSION_DENIED
        assert load(server.channel, "admin") is grpc.StatusCode.PERMISSION_DENIED
        assert load(server.admin_channel, "admin") is grpc.StatusCode.OK
