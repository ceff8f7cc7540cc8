"""A load test of a server that asks for tokens; the secret is in nothing that any of them writes or shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from support.server_process import ServerProcess
from twinserve_client.cli.root import app
from twinserve_loadtest.record.files import read_record
from twinserve_server.access.token_file import create_token

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TWINSERVE_TOKEN"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def secret(folder: Path) -> str:
    """Of a token that may predict and read the metrics; ``app.token`` holds it."""
    secret = create_token(folder / "tokens", "app", ["predict", "metrics"])
    (folder / "app.token").write_text(secret)
    (folder / "app.token").chmod(0o600)
    return secret


@pytest.fixture(scope="module")
def server(secret: str, folder: Path, tiny_models: Path) -> Iterator[ServerProcess]:
    flags = (
        "--gateways",
        "1",
        "--tokens",
        str(folder / "tokens"),
        "--log-level",
        "debug",
        "--slow-request-ms",
        "0.001",
    )
    with ServerProcess(tiny_models, folder / "server", *flags) as process:
        yield process


def twinserve(*words: str, seen: set[str] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; ``seen`` gathers what ``ps`` shows meanwhile of our children and theirs."""
    command = [sys.executable, "-m", "twinserve_client.cli.main", *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT | environment, **pipes) as process:
        while seen is not None and process.poll() is None:
            seen.update(command_lines())
            time.sleep(0.05)
        out, err = process.communicate(timeout=150)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def command_lines() -> Iterator[str]:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            yield " ".join(process.cmdline())


def test_a_load_test_shows_the_token_and_writes_it_nowhere(
    server: ServerProcess, secret: str, folder: Path, tiny_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.json"
    seen: set[str] = set()
    metrics = f"http://127.0.0.1:{server.metrics_port}"
    ended = twinserve(
        "loadtest", "--target", server.target, "--models", str(tiny_models), "--output", str(output),
        "--metrics-url", metrics, "--mode", "accuracy", "--token-file", str(folder / "app.token"),
        seen=seen,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = read_record(output)
    assert result.complete
    # The metrics were read with it, too.
    assert result.model.variants["fp32"].memory is not None
    report = twinserve("report", str(output), "--output", str(tmp_path / "report"))
    assert report.returncode == 0, report.stderr
    refused = twinserve("predict", "nothing.png", "--target", server.target, TWINSERVE_TOKEN=secret[:-1] + "!")
    server.headers = {"Authorization": f"Bearer {secret}"}
    page = str(server.scrape())
    written = "".join(file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file())
    texts = {
        "results and report": written,
        "what the commands said": ended.stdout + ended.stderr + report.stdout + report.stderr + refused.stderr,
        "the server's log": server.log(),
        "the metrics": page,
        "ps": "\n".join(seen),
        "the token file": (folder / "tokens").read_text(),
    }
    assert all(len(text) > 10 for text in texts.values())
    assert all(any(program in line for line in seen) for program in ("twinserve_server.gateway", "generate.worker"))
    # Nor the greater part of it.
    assert [where for where, text in texts.items() if secret[10:40] in text] == []


def test_without_a_token_it_says_what_is_wanted(server: ServerProcess, tiny_models: Path, tmp_path: Path) -> None:
    place = ["--target", server.target, "--models", str(tiny_models), "--output", str(tmp_path / "none.json")]
    ended = CliRunner().invoke(app, ["loadtest", *place])
    assert ended.exit_code == 2
    assert "UNAUTHENTICATED: a token is needed" in " ".join(ended.stderr.split())


def test_top_reads_metrics_behind_a_token(server: ServerProcess, folder: Path) -> None:
    url = f"http://127.0.0.1:{server.metrics_port}"
    ended = twinserve("top", url, "--once", "--interval", "0.1", "--token-file", str(folder / "app.token"))
    assert ended.returncode == 0, ended.stderr
    refused = twinserve("top", url, "--once")
    assert refused.returncode == 2
    assert "401" in refused.stderr
