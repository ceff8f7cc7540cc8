"""How `twinserve top` looks: a table a model, the baseline first, each candidate with its ratio to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from twinserve_host.sizes import kilobytes

if TYPE_CHECKING:
    from twinserve_loadtest.top.variants import ModelFigures, ServerFigures, ServerShare, VariantFigures

MIB: Final = 1 << 20
#: What the server's metrics call the data set of a manifest that states none.
UNKNOWN_DATASET: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure of every variant.

    Attributes:
        value: what is held against the baseline; None: a figure that has no ratio.
        better: -1 where less is better, 1 where more is, 0 where neither.
        optional: left out where no variant has it, as a model without classes never has an accuracy.
    """

    title: str
    show: Callable[[VariantFigures], str]
    value: Callable[[VariantFigures], float | None] | None = None
    better: int = 0
    optional: bool = False


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1e6:.0f} µs" if value < 1e-3 else f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def _mib(value: float | None) -> str:
    return "-" if value is None else f"{value / MIB:,.1f} MiB"


def _size(value: float | None) -> str:
    return f"{kilobytes(value)} KB" if value is not None and value < MIB else _mib(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


ROWS: Final = (
    Row("requests/s", lambda v: f"{v.rate:,.1f}"),
    Row("failed/s", lambda v: f"{v.failed:,.1f}"),
    Row("p50", lambda v: _seconds(v.p50), lambda v: v.p50, -1),
    Row("p99", lambda v: _seconds(v.p99), lambda v: v.p99, -1),
    Row("images per batch", lambda v: "-" if v.batch is None else f"{v.batch:.1f}"),
    Row("images in flight", lambda v: f"{v.waiting:.0f}"),
    Row("CPU cores", lambda v: f"{v.cores:.2f}"),
    Row("memory (PSS)", lambda v: _mib(v.pss), lambda v: v.pss, -1),
    Row("  of which the model", lambda v: _mib(v.added), lambda v: v.added, -1),
    Row("artefact", lambda v: _size(v.artefact), lambda v: v.artefact, -1),
    Row("accuracy", lambda v: "-" if v.accuracy is None else f"{v.accuracy:.2%} of {v.labels:,.0f}", optional=True),
    Row("disagreement", lambda v: _percent(v.disagreement), optional=True),
    Row("traffic share", lambda v: f"{v.weight:.0%}"),
)


def render(server: ServerFigures, where: str) -> Group:
    """The whole screen: ``server`` is one, or several as one, then with a table of each."""
    head = Text.assemble(
        ("twinserve ", "bold"),
        where,
        f"   last {server.seconds:.1f} s   {server.gateways} gateways ({server.transport}): "
        f"{server.gateway_cores:.2f} cores, {_mib(server.gateway_pss)}   ",
        (f"{server.restarts:.0f} restarts", "red" if server.restarts else "dim"),
    )
    each = [_servers(server.servers)] if server.servers else []
    return Group(head, *(_table(model) for model in server.models), *each)


def _servers(servers: Sequence[ServerShare]) -> Table:
    table = Table(title="by server", title_justify="left", title_style="bold")
    table.add_column("")
    variants = list(dict.fromkeys(variant for server in servers for variant in server.rates))
    for title in (*(f"{variant}/s" for variant in variants), "failed/s", "p99", "cores"):
        table.add_column(title, justify="right")
    for server in servers:
        if not server.answering:
            table.add_row(server.url, Text("no answer", "red"))
            continue
        rates = [f"{server.rates.get(variant, 0.0):,.1f}" for variant in variants]
        table.add_row(server.url, *rates, f"{server.failed:,.1f}", _seconds(server.p99), f"{server.cores:.2f}")
    return table


def _table(model: ModelFigures) -> Table:
    dataset = "" if model.dataset == UNKNOWN_DATASET else f"   {model.dataset}"
    table = Table(title=f"{model.name} v{model.version}{dataset}", title_justify="left", title_style="bold")
    table.add_column("")
    for variant in model.variants:
        state = "" if variant.ready else " [red]not ready[/]"
        table.add_column(
            f"[bold]{variant.name}[/]{' (baseline)' if variant is model.baseline else ''}{state}", justify="right"
        )
    for row in ROWS:
        cells = [_cell(row, variant, model.baseline) for variant in model.variants]
        if not row.optional or any(cell.plain != "-" for cell in cells):
            table.add_row(row.title, *cells)
    return table


def _cell(row: Row, variant: VariantFigures, baseline: VariantFigures | None) -> Text:
    cell = Text(row.show(variant))
    if row.value is None or baseline is None or variant is baseline:
        return cell
    ours, theirs = row.value(variant), row.value(baseline)
    if ours is None or not theirs:
        return cell
    ratio = ours / theirs
    gain = row.better * (ratio - 1)
    colour = "green" if gain > 0 else "red" if gain < 0 else "dim"
    return cell.append(f"  {ratio:.2f}\u00d7", style=colour)
