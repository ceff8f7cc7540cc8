"""What `twinserve models` prints to: results to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

console = Console()
errors = Console(stderr=True)


def fail(message: str) -> int:
    """Print an error; return exit code 1."""
    errors.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    return 1
