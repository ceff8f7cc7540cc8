"""What the user sees when a command fails unexpectedly: one line, and where the details are."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from pathlib import Path

from twinserve_client._environment import version
from twinserve_host.files import FileError, rescue_file


def explain(command: str | None, error: BaseException) -> str:
    """Describe ``error`` on one line, which names the file that its traceback was saved to."""
    what = " ".join(str(error).split())
    kind = type(error).__name__ if not isinstance(error, OSError) else "system error"
    details = "".join(
        [
            f"twinserve {version()}, command {command}, Python {platform.python_version()}, {platform.platform()}\n",
            *traceback.format_exception(error),
        ]
    )
    try:
        where = f"details are in {rescue_file(Path('twinserve-error.txt'), details)}"
    except FileError as unwritten:
        where = f"the details could not be saved ({unwritten})"
    return f"twinserve {command or ''}: unexpected failure: {kind}: {what[:300] or 'no message'}; {where}"


def release_output() -> None:
    """Detach a broken standard output, or the interpreter fails on it at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
