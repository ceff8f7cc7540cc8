"""How a command ends when its call to a server fails: a one-line message and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from twinserve_client.cli.main import USAGE


def fail(command: str, message: str, code: int) -> NoReturn:
    """Print on one line why ``twinserve command`` failed, and exit with ``code``."""
    typer.echo(f"twinserve {command}: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def failures_told(command: str, target: str, hint: str) -> Iterator[None]:
    """Turn an SDK error into a call of :func:`fail`: exit code 2 for a wrong request, 1 for a failed server.

    Args:
        command: named in the message.
        target: the server's address.
        hint: what to try if the server does not answer.
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
