"""How the size of an artefact is written."""

from __future__ import annotations


def kilobytes(size: float) -> str:
    """Bytes as kilobytes of 1,024 bytes, no unit: ``4,691``, ``3.2``, ``0.04``; only nothing is ``0``."""
    value = size / 1024
    return f"{value:,.{0 if value >= 10 or not value else 1 if value >= 0.1 else 2}f}"
