"""``twinserve health`` against a server that is there, and one that is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.server_process import ServerProcess
from twinserve_client.cli.health import app


@pytest.fixture(scope="module")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("health"), "--gateways", "1") as process:
        yield process


@pytest.mark.parametrize(
    ("service", "code", "words"),
    [
        ((), 0, "the server: SERVING"),
        (("live",), 0, "live: SERVING"),
        (("tiny/int8",), 0, "tiny/int8: SERVING"),
        (("tiny/fp8",), 1, "knows no service 'tiny/fp8'"),
    ],
)
def test_it_says_how_a_service_is(server: ServerProcess, service: tuple[str, ...], code: int, words: str) -> None:
    done = CliRunner().invoke(app, [*service, "--target", server.target, "--timeout", "30"])
    assert done.exit_code == code
    assert words in done.output


def test_no_server_is_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = CliRunner().invoke(app, ["--target", f"127.0.0.1:{port}", "--timeout", "0.5"])
    assert done.exit_code == 1
    assert "no answer from 127.0.0.1" in done.output


def test_a_target_that_is_none_is_exit_code_2() -> None:
    done = CliRunner().invoke(app, ["--target", ""])
    assert done.exit_code == 2
    assert "target" in done.output
