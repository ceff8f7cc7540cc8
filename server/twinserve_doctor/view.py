"""The findings as a table."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinserve_doctor.examine import serves
from twinserve_doctor.finding import Finding, Level

_SIGNS: dict[Level, str] = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]FAULT[/]"}


def show(findings: list[Finding], console: Console) -> None:
    """Print the findings, what to do about them, and whether a server would start."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        text = escape(finding.found)
        if finding.advice:
            text += f"\n[dim]→ {escape(finding.advice)}[/]"
        table.add_row(_SIGNS[finding.level], f"[bold]{escape(finding.check)}[/]", text)
    console.print(table, highlight=False)
    faults = [finding.check for finding in findings if finding.level == "fault"]
    said = "[green]`twinserve serve` would start.[/]"
    if not serves(findings):
        said = f"[red]`twinserve serve` would not start:[/] {escape(', '.join(faults))}"
    console.print(said, highlight=False)
