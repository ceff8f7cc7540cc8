"""What `twinserve models` prints to: results to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

console = Console()
errors = Console(stderr=True)


def say(where: Console, text: str, style: str | None = None) -> None:
    """Print text as it is, on one line however long."""
    where.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> int:
    """Print an error; return the exit code."""
    errors.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    return code
