"""Every command speaks JSON, ends with the documented codes, and completes in a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from support.server_process import ServerProcess
from twinserve_client.cli import main
from twinserve_client.cli.root import app
from twinserve_loadtest.compare.exit_codes import EXIT_CODES, NO_VERDICT

PAGE = (Path(__file__).parents[3] / "docs" / "sdk.md").read_text("utf-8")
#: They run until they are stopped: there is nothing to print at their end.
SERVERS = {"serve", "rest"}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that is no group, by its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name in inner:
        yield from leaves(inner[name], (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def told_by(*arguments: str, code: int = 0, **environment: str) -> Any:
    """The JSON that a command, which ends with ``code``, prints on standard output."""
    done = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def served(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server."""
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("served"), "--gateways", "1") as process:
        yield process


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - SERVERS))
def test_every_command_speaks_json(name: str) -> None:
    assert "--json" in {option for parameter in COMMANDS[name].params for option in parameter.opts}


def test_a_server_is_asked_in_json(served: ServerProcess) -> None:
    asked = told_by("health", "tiny/int8", "--target", f"twinserve://{served.target}")
    assert (asked["service"], asked["status"]) == ("tiny/int8", "SERVING")
    unknown = told_by("health", "tiny/fp8", code=1, TWINSERVE_TARGET=served.target)
    assert unknown["status"] == "SERVICE_UNKNOWN"
    nobody = told_by("health", "--target", "127.0.0.1:1", "--timeout", "0.2", code=1)
    assert nobody["status"] == "NO_ANSWER"
    url = f"http://127.0.0.1:{served.metrics_port}"
    (model,) = told_by("top", url, "--interval", "0.1")["models"]
    assert {variant["name"] for variant in model["variants"]} == {"fp32", "int8"}


def test_a_load_test_tells_its_figures_in_json(served: ServerProcess, tiny_models: Path, tmp_path: Path) -> None:
    output = tmp_path / "loadtest.json"
    options = ("--mode", "closed", "--duration", "1", "--models", str(tiny_models), "--output", str(output))
    told = told_by("loadtest", *options, TWINSERVE_TARGET=f"twinserve://{served.target}")
    assert told["exit_code"] == 0
    assert told["result"] == str(output)
    assert set(told["runs"]["closed"]) == {"fp32", "int8"}
    assert all(arm["requests"] > 0 for arm in told["runs"]["closed"].values())
    page = told_by("report", str(output))
    assert all(Path(path).is_file() for path in page.values())


def test_tokens_and_models_are_listed_in_json(tiny_models: Path, tmp_path: Path) -> None:
    file = ("--file", str(tmp_path / "tokens"))
    made = told_by("token", "create", "app", "--role", "predict", *file)
    assert made["name"] == "app"
    assert made["token"]
    assert told_by("token", "list", *file) == [{"name": "app", "roles": ["predict"]}]
    assert told_by("token", "revoke", "app", *file) == {"revoked": "app"}
    (model,) = told_by("models", "list", "--models", str(tiny_models))
    assert (model["model"], [variant["name"] for variant in model["variants"]]) == ("tiny", ["fp32", "int8"])


def documented() -> dict[str, dict[int, str]]:
    """The table of exit codes: by column (a command, or "others"), what each code means."""
    head, _, *rows = re.findall(r"^\|.*\|$", PAGE[PAGE.index("| exit code |") :].split("\n\n")[0], re.MULTILINE)
    columns = [cell.strip() for cell in head.strip("|").split("|")][1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: {int(row[0]): row[1 + at] for row in cells} for at, name in enumerate(columns)}


def test_the_table_of_exit_codes_is_true() -> None:
    table = documented()
    others, compare = table["others"], table["`compare`"]
    assert set(others) == set(compare) == {0, 1, main.USAGE, main.UNEXPECTED, main.INTERRUPTED}
    assert {name: compare[code] for name, code in EXIT_CODES.items()} == {name: name for name in EXIT_CODES}
    assert "no verdict" in compare[NO_VERDICT]
    assert "wrong" in others[main.USAGE]
    assert "program failed" in others[main.UNEXPECTED]


@pytest.mark.parametrize("name", ["compare", "health", "loadtest", "models list", "predict", "report", "token list"])
def test_wrong_use_ends_with_the_documented_code(name: str) -> None:
    command = [sys.executable, "-m", "twinserve_client.cli.main", *name.split(), "--no-such-option"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == (NO_VERDICT if name == "compare" else main.USAGE), done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [("twinserve mod", "models"), ("twinserve compare --jun", "--junit"), ("twinserve to", "token")],
)
def test_a_shell_completes_commands_and_options(words: str, expected: str) -> None:
    position = str(len(words.split()) - 1)
    # The name under which the program is installed is what a shell asks by.
    completed = subprocess.run(
        [Path(sys.executable).with_name("twinserve")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "_TWINSERVE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position},
    )
    assert expected in completed.stdout.split()
