"""Load test and comparison of a server that lets in known clients only, over TLS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import twinserve_loadtest
from support.server_process import ServerProcess
from support.short_comparison import shorten_comparisons
from twinserve_loadtest.commands import compare as compare_command
from twinserve_loadtest.commands import loadtest as loadtest_command
from twinserve_loadtest.compare.exit_codes import NO_VERDICT
from twinserve_loadtest.record.files import read_record

LOCUSTFILE = Path(twinserve_loadtest.__file__).parent / "locust_cli" / "locustfile.py"


@pytest.fixture(scope="module")
def tls_server(
    tiny_models: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    flags = ("--gateways", "1", "--tls-client-ca", str(certificates / "ca.pem"))
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(tiny_models, folder, *flags, certificates=certificates) as process:
        yield process


def flags(certificates: Path, prefix: str = "--tls") -> list[str]:
    """What a known client gives."""
    files = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    return [word for name, file in files.items() for word in (f"{prefix}-{name}", str(certificates / file))]


def test_loadtest(tls_server: ServerProcess, tiny_models: Path, certificates: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    options = ["--target", tls_server.target, "--models", str(tiny_models), "--output", str(output)]
    ended = CliRunner().invoke(loadtest_command.app, [*options, "--mode", "accuracy", *flags(certificates)])
    assert ended.exit_code == 0, ended.output
    arms = read_record(output).runs["accuracy"].arms
    for variant in ("fp32", "int8"):
        answers = arms[variant].answers
        assert answers is not None
        assert (answers.correct, answers.images) == (64, 64)


def test_locust(tls_server: ServerProcess, tiny_models: Path, certificates: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", tls_server.target,
        "--twin-mode", "accuracy", "--twin-testset", str(tiny_models / "tiny"), "--twin-results", str(output),
        *flags(certificates, "--twin-tls"),
    ]  # fmt: skip
    environment = {**os.environ, "GEVENT_BACKEND": "select"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert read_record(output).complete


def test_compare(
    tls_server: ServerProcess,
    tiny_models: Path,
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_comparisons(monkeypatch)
    output = tmp_path / "compare.json"
    options = ["--target", tls_server.target, "--models", str(tiny_models), "--output", str(output), "--quick"]
    result = CliRunner().invoke(compare_command.app, ["fp32", "int8", *options, *flags(certificates)])
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    assert result.exit_code != NO_VERDICT, result.output
    assert set(read_record(output).model.variants) == {"fp32", "int8"}


@pytest.mark.parametrize(
    ("app", "options", "code"),
    [(loadtest_command.app, (), 2), (compare_command.app, ("fp32", "int8", "--quick"), NO_VERDICT)],
    ids=["loadtest", "compare"],
)
def test_without_an_authority_the_message_says_what_is_wanted(
    tls_server: ServerProcess, tiny_models: Path, tmp_path: Path, app: typer.Typer, options: tuple[str, ...], code: int
) -> None:
    place = ("--target", tls_server.target, "--models", str(tiny_models), "--output", str(tmp_path / "none.json"))
    ended = CliRunner().invoke(app, [*options, *place])
    assert ended.exit_code == code
    assert "a server that speaks TLS wants --tls-ca" in " ".join(ended.stderr.split())
