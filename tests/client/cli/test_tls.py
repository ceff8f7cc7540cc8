"""The commands that ask a server, against one that speaks TLS: with its authority, and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from support.digit_server import Server, digit_server
from twinserve_client.cli import predict as predict_command
from twinserve_client.cli import traffic as traffic_command

Run = Callable[..., Result]


@pytest.fixture(scope="module", params=["one-way", "mutual"])
def tls_server(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Server]:
    pair = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    mutual = request.param == "mutual"
    authority = (certificates / "ca.pem").read_bytes() if mutual else None
    with digit_server(grpc.ssl_server_credentials([pair], authority, require_client_auth=mutual)) as running:
        yield running


@pytest.fixture(params=["predict", "traffic"])
def run(request: pytest.FixtureRequest, tls_server: Server, tmp_path: Path) -> Run:
    """Runs a command against the server."""
    app: Any = {"predict": predict_command, "traffic": traffic_command}[request.param].app
    arguments = ["--target", tls_server.target]
    if request.param == "predict":
        picture = Image.new("L", (28, 28))
        picture.paste(255, (12, 4, 16, 24))
        picture.save(tmp_path / "one.png")
        arguments.append(str(tmp_path / "one.png"))
    return lambda *options, **environment: CliRunner().invoke(
        app, [*arguments, *options], env={"COLUMNS": "160", **environment}
    )


@pytest.fixture
def identity(certificates: Path) -> list[str]:
    """The caller's own certificate; a server that does not ask for one does not mind."""
    return ["--tls-cert", str(certificates / "client.pem"), "--tls-key", str(certificates / "client.key")]


def test_with_the_authority_it_is_answered(run: Run, certificates: Path, identity: list[str]) -> None:
    result = run("--tls-ca", str(certificates / "ca.pem"), *identity)
    assert result.exit_code == 0, result.output


def test_the_authority_may_stand_in_the_environment(run: Run, certificates: Path, identity: list[str]) -> None:
    result = run(*identity, TWINSERVE_TLS_CA=str(certificates / "ca.pem"))
    assert result.exit_code == 0, result.output


def test_without_it_the_message_says_what_is_wanted(run: Run) -> None:
    result = run()
    assert result.exit_code == 1
    assert "no answer from" in result.stderr
    assert "a server that speaks TLS wants --tls-ca" in result.stderr


def test_a_certificate_without_its_key_is_exit_code_2(run: Run, identity: list[str]) -> None:
    result = run(*identity[:2])
    assert result.exit_code == 2
    assert "tls: cert and key belong together" in result.stderr


def test_a_file_that_is_no_pem_file_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ca.txt").write_text("hello")
    result = run("--tls-ca", str(tmp_path / "ca.txt"))
    assert result.exit_code == 2
    assert f"tls.ca: {tmp_path}/ca.txt is not a PEM file" in result.stderr
