"""The finding of a section in one sentence, for readers who skip the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twinserve_loadtest.report.document import VariantRow


def listed(
    what: str,
    rows: Sequence[VariantRow],
    value_of: Callable[[VariantRow], float | None],
    write: Callable[[float | None], str],
) -> str:
    """``what: fp32 1.03 ms, int8 0.775 ms.``; empty when no measured variant has the figure."""
    measured = ((row.label, value_of(row)) for row in rows if row.variant is not None)
    found = [f"{label} {write(value)}" for label, value in measured if value is not None]
    return f"{what}: {', '.join(found)}." if found else ""


def join(*texts: str) -> str:
    """Those that are not empty, a line each."""
    return "\n".join(text for text in texts if text)
