"""How a program of ours starts another one of ours."""

from __future__ import annotations

import os
import sys


def python(*arguments: str) -> list[str]:
    """This interpreter with ``arguments``, isolated from the working directory.

    Without ``-P`` a ``random.py`` that lies there would be imported, and executed, in place of Python's own.
    """
    return [sys.executable, "-P", *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of this process for a program of ours.

    Warnings are for who develops: turned into errors by a user's ``PYTHONWARNINGS``, they would end a sound program.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"} | more
