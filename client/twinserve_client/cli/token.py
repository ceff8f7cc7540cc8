"""The bearer token of a command: read from a file or the environment, not from the command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from twinserve_client._environment import VARIABLE
from twinserve_client.cli.main import USAGE

MAX_BYTES = 4096

TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help=f"File with the bearer token. (default: the variable {VARIABLE})")
]
#: Deprecated; kept for existing scripts.
Token = Annotated[str | None, typer.Option("--token", hidden=True)]


def use_token(file: Path | None, token: str | None = None, *, exit_code: int = USAGE) -> None:
    """Set the token for the clients of this process and of the processes it starts.

    It is put into the environment, which other users cannot see with ``ps``.

    Args:
        file: contains the token, and nothing else.
        token: from the command line, which every user of the machine can read.
        exit_code: used if the file does not contain a token.
    """
    if token is not None:
        typer.echo(
            f"warning: --token shows the token to every user of this machine; use --token-file or {VARIABLE}", err=True
        )
        os.environ[VARIABLE] = token
    if file is not None:
        os.environ[VARIABLE] = read_token(file, exit_code)


def read_token(file: Path, exit_code: int, option: str = "--token-file") -> str:
    """Read the token from a file, which ``option`` names; exits with ``exit_code`` if there is none."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        typer.echo(f"{option}: {file} cannot be read ({error.strerror})", err=True)
        raise typer.Exit(exit_code) from None
    token = content.decode("ascii", "replace").strip()
    # The message does not repeat the content: it may be a secret.
    if not token or len(token.split()) > 1 or len(content) > MAX_BYTES or not (token.isascii() and token.isprintable()):
        typer.echo(f"{option}: {file} must contain one token, printable and without spaces, and nothing else", err=True)
        raise typer.Exit(exit_code)
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        typer.echo(f"warning: {option}: others may read {file} ({stat.filemode(mode)}); chmod 600 {file}", err=True)
    return token
