"""The report in a terminal: one table, and the answer as its last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from twinserve_loadtest.report.numbers import DASH, kilobytes, megabytes, rate, seconds, significant

if TYPE_CHECKING:
    from rich.console import Console

    from twinserve_loadtest.report.document import Document, Headline, VariantRow

_TONES = {"good": "bold green", "bad": "bold red", "open": "bold yellow", "plain": "bold"}


def print_document(document: Document, console: Console) -> None:
    """Alerts, the table of variants, then the answers: that of the first candidate ends the output."""
    for alert in document.alerts:
        console.print(f"[bold yellow]! {escape(alert.text)}[/]")
    console.print(_variants(document))
    for line in document.headlines[:1]:
        if line.outcome is None:
            console.print(line.footnote, style="dim", highlight=False, markup=False)
    for line in reversed(document.headlines):
        console.print(_answer(line))


def _variants(document: Document) -> Table:
    table = Table(
        title=f"{document.model}, version {document.version}: {document.dataset.line}",
        caption=f"{document.machine}. {_loads(document)}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("variant")
    for name in ("size\nKB", "accuracy\n%", "test set\ns", "p50\nms", "p99\nms", "offline\nimages/s", "memory\nadded"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in document.table:
        table.add_row(*_cells(row), style=None if row.variant else "dim")
    return table


def _cells(row: VariantRow) -> list[str]:
    served = row.served
    time = served.test_set_seconds if row.variant else row.in_process_seconds.get(64)
    return [
        escape(row.label),
        kilobytes(row.size_bytes),
        DASH if row.accuracy.value is None else f"{100 * row.accuracy.value:.2f}",
        seconds(time),
        _ms(served.p50_us),
        _ms(served.p99_us),
        rate(served.images_per_second.value),
        megabytes(served.added_bytes),
    ]


def _loads(document: Document) -> str:
    given = (("p50 and p99", document.loads.latency), ("images/s", document.loads.throughput))
    text = "; ".join(f"{name}: {load}" for name, load in given if load)
    return f"{text}." if text else ""


def _answer(line: Headline) -> Text:
    text = Text("\n")
    if line.outcome:
        text.append(f"{line.outcome}  ", style=_TONES[line.tone])
    text.append(line.sentence, style="bold")
    for reason in line.reasons:
        text.append(f"\n  {reason}")
    for gate in line.gates:
        mark = {"pass": "✓", "fail": "✗", "undecided": "?"}[gate.outcome]
        style = {"pass": "green", "fail": "red", "undecided": "yellow"}[gate.outcome]
        text.append(f"\n  {mark} ", style=style).append(f"{gate.name} {gate.limit}: {gate.observed}")
    return text


def _ms(microseconds: float | None) -> str:
    return DASH if microseconds is None else significant(microseconds / 1000)
