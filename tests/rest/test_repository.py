"""Models are loaded and unloaded over HTTP, by those who were let in and by nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rest.conftest import rest_before
from rest.test_rest import call, output, question
from support.server_process import ServerProcess
from support.tiny_model import classes_of, items, make_tiny_models
from support.versions import add_version
from twinserve_rest.cli import app
from twinserve_server.access.token_file import create_token

SCRIPT = Path(__file__).with_name("triton_http_client.py")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one version each."""
    root = make_tiny_models(tmp_path_factory.mktemp("models"), runtime="onnx")
    return make_tiny_models(root, model="other", runtime="onnx")


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of ``twinserve rest``, which may do what admins may; version 2 of a model appears later."""
    folder = tmp_path_factory.mktemp("repository")
    for role in ("predict", "admin"):
        (folder / role).write_text(create_token(folder / "tokens", role, [role]))
        (folder / role).chmod(0o600)
    flags = ("--variants", "int8", "--default-model", "other", "--profile", "isolated", "--admin-port", "0")
    with ServerProcess(models, folder / "server", *flags, "--tokens", str(folder / "tokens")) as server:
        add_version(models, "2", swapped=True)
        admin = ("--admin-target", server.admin_target, "--admin-token-file", str(folder / "admin"))
        with rest_before(server, "--token-file", str(folder / "predict"), *admin) as address:
            yield address


def change(rest: str, model: str, how: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Status and body of a request to load or unload."""
    request = urllib.request.Request(f"http://{rest}/v2/repository/models/{model}/{how}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_load_activates_the_greatest_version(repository: str) -> None:
    assert change(repository, "tiny", "load") == (200, b"")
    assert call(repository, "/v2/models/tiny")[1]["versions"] == ["2"]
    expected = [{0: 1, 1: 0}.get(name, name) for name in classes_of(items(20)).tolist()]
    answer = call(repository, "/v2/models/tiny_int8/infer", question(items(20)))[1]
    assert (answer["model_version"], output(answer, "classes")["data"]) == ("2", expected)


def test_tritons_client_unloads_and_loads(repository: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), repository, "tiny", "cycle"],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    unloaded, ready, loaded = json.loads(done.stdout)
    entry: dict[str, Any] = next(one for one in unloaded if one["name"] == "tiny")
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "unloaded")
    assert not any(one["name"].startswith("tiny") for one in ready)
    assert {one["name"]: one["state"] for one in loaded}["tiny_int8"] == "READY"


@pytest.mark.parametrize(
    ("model", "how", "body", "status", "words"),
    [
        ("tiny_int8", "load", b"", 400, "'tiny_int8' is a variant; a model is loaded as a whole: give 'tiny'"),
        ("nobody", "load", b"", 404, "'nobody' is not in"),
        ("nobody", "unload", b"", 404, "model: 'nobody' is not loaded; loaded: "),
        ("other", "unload", b"", 400, "other answers the requests that name no model"),
        ("tiny", "load", b'{"parameters": {"config": "{}"}}', 400, "parameters.config: is not supported"),
        ("tiny", "load", b"{", 400, "the body is not JSON"),
    ],
)
def test_what_cannot_be_done_is_said(
    repository: str, model: str, how: str, body: bytes, status: int, words: str
) -> None:
    found, answer = change(repository, model, how, body)
    assert (found, words in json.loads(answer)["error"]) == (status, True), answer


def test_a_page_of_another_site_cannot_have_a_browser_unload_a_model(repository: str) -> None:
    status, answer = change(repository, "tiny", "unload", Origin="http://elsewhere.example")
    assert (status, "is another site" in json.loads(answer)["error"]) == (403, True)
    assert change(repository, "tiny", "load", Origin=f"http://{repository}")[0] == 200


def test_without_an_admin_target_nobody_loads_or_unloads(rest: str) -> None:
    for how in ("load", "unload"):
        status, answer = change(rest, "tiny", how)
        assert status == 403
        assert json.loads(answer)["error"] == (
            "explicit model load / unload is not allowed; start twinserve rest with --admin-target"
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "nonsense"], "target: 'nonsense'"),
        (["--admin-target", "nonsense"], "target: 'nonsense'"),
        (["--admin-token-file", "none"], "give that as well"),
        (["--admin-target", "127.0.0.1:1", "--admin-token-file", "none"], "--admin-token-file: none cannot be read"),
    ],
)
def test_wrong_options_are_told_at_the_start(options: list[str], words: str) -> None:
    found = CliRunner().invoke(app, ["--port", "0", *options])
    assert (found.exit_code, words in found.output) == (2, True), found.output
