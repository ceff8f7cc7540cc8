"""``twinserve token``: the secret is printed once and stored nowhere; what is wrong is one line and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from twinserve_server.access.cli import app
from twinserve_server.access.token_file import TokenFile
from twinserve_server.access.tokens import find_token

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda *words: CliRunner().invoke(app, [*words, "--file", str(tmp_path / "tokens")])


def test_create_prints_the_token_and_nothing_else(run: Run, tmp_path: Path) -> None:
    result = run("create", "app", "--role", "predict")
    assert result.exit_code == 0
    assert find_token(TokenFile(tmp_path / "tokens").tokens, result.stdout.strip()) is not None


def test_list_shows_names_and_roles_without_hashes(run: Run, tmp_path: Path) -> None:
    run("create", "app", "--role", "predict", "--role", "metrics")
    run("create", "root", "--role", "admin")
    lines = run("list").stdout.splitlines()
    assert [line.split() for line in lines] == [["app", "predict,metrics"], ["root", "admin"]]


def test_revoke_removes_it(run: Run) -> None:
    run("create", "app", "--role", "predict")
    assert run("revoke", "app").exit_code == 0
    assert run("list").stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "app", "--role", "root"), "--role: 'root' is not a role; available: predict, metrics, admin"),
        (("create", "a b", "--role", "predict"), "NAME: 'a b' is not a name"),
        (("create", "there", "--role", "predict"), "there is a token named 'there'"),
        (("revoke", "nobody"), "no token named 'nobody'; available: there"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run: Run, words: tuple[str, ...], said: str) -> None:
    run("create", "there", "--role", "predict")
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_file_it_says_so(run: Run, tmp_path: Path) -> None:
    result = run("list")
    assert result.exit_code == 2
    assert f"{tmp_path}/tokens: cannot be read (No such file or directory)" in result.stderr
