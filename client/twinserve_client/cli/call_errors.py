"""How a command that calls a server ends when that fails: one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from twinserve_client.cli.main import USAGE


def fail(command: str, message: str, code: int) -> NoReturn:
    """Say on one line why ``twinserve command`` did not work, and leave."""
    typer.echo(f"twinserve {command}: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def failures_told(command: str, target: str, hint: str) -> Iterator[None]:
    """Leave by :func:`fail` on an error of the SDK: 2 where what was asked for is wrong, 1 where the server failed.

    Args:
        command: whose words they are.
        target: of the server.
        hint: what to try when nobody answers.
    """
    from twinserve_client import CallError, InvalidInputError, NotFoundError, TwinserveError, UnavailableError

    try:
        yield
    except UnavailableError as error:
        fail(command, f"no answer from {target} ({error.message}){hint}", 1)
    except (InvalidInputError, NotFoundError) as error:
        fail(command, error.message, USAGE)
    except CallError as error:
        fail(command, f"{target}: {error.message} ({error.code.name})", 1)
    except TwinserveError as error:
        fail(command, str(error), USAGE)
