"""What a client finds around it. Loads nothing, for commands that ask no server."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Final

#: The environment variable with the default token.
VARIABLE: Final = "TWINSERVE_TOKEN"


@cache
def version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("twinserve")
    except metadata.PackageNotFoundError:
        return "unknown"
