"""The report in a terminal: a table, on request the details, and the answer as the last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from twinserve_loadtest.report.content import DataTable, EffectChart
from twinserve_loadtest.report.effects import CLAIMS
from twinserve_loadtest.report.numbers import DASH, kilobytes, loss, megabytes, rate, seconds, significant

if TYPE_CHECKING:
    from rich.console import Console

    from twinserve_loadtest.report.document import Document, Headline, VariantRow

_TONES = {"good": "bold green", "bad": "bold red", "open": "bold yellow", "plain": "bold"}
_CLAIM_STYLES = {"better": "green", "worse": "red", "none": "yellow", "unknown": ""}
_GATES = {"pass": ("✓", "green"), "fail": ("✗", "red"), "undecided": ("?", "yellow")}
#: The sections whose findings the tables do not already show.
_FINDINGS = ("rate", "accuracy", "why")


def print_document(document: Document, console: Console, *, full: bool = False) -> None:
    """Alerts, the table of variants, then the answers: that of the first candidate ends the output.

    Args:
        document: What to print.
        console: Where to.
        full: Also the effects or percentiles, the findings of the sections, everything missing and every caveat.
    """
    for alert in document.alerts:
        console.print(f"[bold yellow]! {escape(alert.text)}[/]")
    console.print(_variants(document))
    if full:
        _print_details(document, console)
    for line in document.headlines[:1]:
        if line.outcome is None:
            console.print(line.footnote, style="dim", highlight=False, markup=False)
    for line in reversed(document.headlines):
        console.print(_answer(line))


def _print_details(document: Document, console: Console) -> None:
    shown = ("servers",) if any(line.outcome for line in document.headlines) else ("latency", "servers")
    for section in document.sections:
        for figure in section.figures:
            if isinstance(figure.content, EffectChart):
                console.print(_effects(figure.title, figure.content))
            elif isinstance(figure.content, DataTable) and section.key in shown:
                console.print(_table(figure.title, figure.content))
        if section.finding and section.key in _FINDINGS:
            console.print(Text.assemble((f"{section.title}: ", "bold"), section.finding))
    missing = {text for section in document.sections for text in section.missing}
    for remark in document.caveats:
        if not any(remark.text in alert.text for alert in document.alerts):
            label, style = ("Missing", "red") if remark.text in missing else ("Caveat", "yellow")
            console.print(f"{label}: {remark.text}", style=style, highlight=False, markup=False)


def _variants(document: Document) -> Table:
    table = _plain(f"{document.model}, version {document.version}: {document.dataset.line}")
    table.caption = f"{document.machine}. {_loads(document)}"
    table.add_column("variant")
    quality = f"loss\n{escape(document.metric)}" if document.metric else "accuracy\n%"
    for name in ("size\nKB", quality, "test set\ns", "p50\nms", "p99\nms", "offline\nimages/s", "memory\nadded"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in document.table:
        table.add_row(*_cells(row, document.metric), style=None if row.variant else "dim")
    return table


def _effects(title: str, chart: EffectChart) -> Table:
    table = _plain(title)
    table.add_column("figure")
    for column in (f"{chart.baseline} → {chart.candidate}", "ratio (95 %)", "noise"):
        table.add_column(column, justify="right")
    table.add_column("claim")
    for row in chart.rows:
        noise = f"{100 * (row.noise_floor - 1):.1f} %" if row.noise_floor is not None else ""
        claim = "not valid" if row.invalid else CLAIMS[row.claim]
        table.add_row(row.label, row.change, row.text, noise, Text(claim, _CLAIM_STYLES[row.claim]))
    return table


def _table(title: str, content: DataTable) -> Table:
    table = _plain(title)
    for number, column in enumerate(content.columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=number >= 2)
    for row in content.rows:
        table.add_row(*map(escape, row))
    return table


def _plain(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _cells(row: VariantRow, metric: str) -> list[str]:
    served = row.served
    share = DASH if row.accuracy.value is None else f"{100 * row.accuracy.value:.2f}"
    time = served.test_set_seconds if row.variant else row.in_process_seconds.get(64)
    return [
        escape(row.label),
        kilobytes(row.size_bytes),
        loss(row.quality.value) if metric else share,
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
        mark, style = _GATES[gate.outcome]
        more = f"; {gate.more} would decide" if gate.more else ""
        text.append(f"\n  {mark} ", style=style).append(f"{gate.name} {gate.limit}: {gate.observed}{more}")
    return text


def _ms(microseconds: float | None) -> str:
    return DASH if microseconds is None else significant(microseconds / 1000)
