"""How our programs start one another."""

from __future__ import annotations

import os
import sys


def python(*arguments: str) -> list[str]:
    """The command line for this interpreter with ``arguments``, isolated from the working directory.

    Without ``-P``, a ``random.py`` there would be imported, and executed, in place of Python's own.
    """
    return [sys.executable, "-P", *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of this process for another of our programs.

    Warnings are for developers: turned into errors by a user's ``PYTHONWARNINGS``, they would end a working program.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"} | more
