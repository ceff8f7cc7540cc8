"""How a request names a variant of one version, whichever version is active: ``int8@2``."""

from __future__ import annotations

from typing import Final

#: Between a variant and its version.
AT: Final = "@"


def address_of(variant: str, version: str) -> str:
    """The name of a variant of one version."""
    return f"{variant}{AT}{version}"
