"""The token of a command: out of a file or the environment; on the command line it works still, with a warning."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from twinserve_client import Client
from twinserve_client._channel import Connection
from twinserve_client._environment import VARIABLE
from twinserve_client.cli.token import use_token

SECRET = "twinserve_" + "s" * 43


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that whatever a test leaves there is undone.
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.token"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def shown(token: str | None = None) -> str | None:
    """What a client sends."""
    connection = Connection.of(
        "127.0.0.1:1", retries=0, tls=None, token=token, metadata=None, isolated=True, channel_options=()
    )
    assert SECRET not in repr(connection)
    return dict(connection.metadata or ()).get("authorization")


def test_a_file_gives_it_to_every_client_of_the_process(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown() is None
    use_token(file)
    assert shown() == f"Bearer {SECRET}"
    assert shown("other") == "Bearer other"
    assert shown("") is None
    assert capsys.readouterr().err == ""


def test_without_a_file_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    use_token(None)
    assert shown() == f"Bearer {SECRET}"


def test_one_that_others_may_read_is_warned_of(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o644)
    use_token(file)
    said = capsys.readouterr().err
    assert f"others may read {file} (-rw-r--r--); chmod 600 {file}" in said
    assert SECRET not in said
    assert os.environ[VARIABLE] == SECRET


def test_one_on_the_command_line_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    use_token(None, SECRET)
    said = capsys.readouterr().err
    assert "--token shows the token to every user of this machine" in said
    assert SECRET not in said


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"\xff\xfe", b"a" * 5000, b"a\nb"])
def test_a_file_that_holds_no_token_is_named_and_its_content_is_not(
    file: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file.write_bytes(content)
    with pytest.raises(typer.Exit) as caught:
        use_token(file, exit_code=3)
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err == (
        f"--token-file: {file} must contain one token, printable and without spaces, and nothing else\n"
    )


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        use_token(tmp_path / "none")
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_client_does_not_show_it(file: Path) -> None:
    use_token(file)
    with Client("127.0.0.1:1") as client:
        assert SECRET not in repr(client)
        assert SECRET not in repr(vars(client))
