"""Terminal output of `twinserve capacity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from twinserve_loadtest.capacity.plan import Check, Plan, VariantPlan

_NONE: Final = "-"


def print_plan(plan: Plan, console: Console) -> None:
    """Print a table of the variants, the model compared with the measurement, and doubts."""
    demand = plan.demand
    console.print(
        f"{demand.rate:,.0f} requests/s of one image, p99 within {_ms(demand.p99)}, {demand.headroom:.0%} head-room; "
        f"servers of {plan.cores} cores with {plan.gateways} gateways",
        highlight=False,
    )
    console.print(_variants(plan))
    console.print(_checks(plan.variants))
    for variant in plan.variants:
        for text in variant.warnings:
            _warn(console, f"{variant.name}: {text}")
    for text in plan.warnings:
        _warn(console, text)
    for variant in plan.variants:
        console.print(Text(_sentence(variant, plan), "bold"))


def _variants(plan: Plan) -> Table:
    table = Table()
    table.add_column("")
    for variant in plan.variants:
        table.add_column(variant.name, justify="right")
    rows: list[tuple[str, Callable[[VariantPlan], str]]] = [
        ("servers", _servers),
        ("cores in total", lambda v: _NONE if v.cores is None else f"{v.cores:,}"),
        ("requests/s per server within p99", lambda v: f"{v.rate_per_server:,.0f}"),
        ("  less head-room", lambda v: f"{v.planned_rate:,.0f}"),
        ("breaks first", lambda v: v.breaks_first),
        *((f"{name} used", lambda v, name=name: f"{v.used[name]:.0%}") for name in plan.variants[0].used),
        ("images per batch", lambda v: f"{v.batch:.1f}"),
        ("CPU per request", lambda v: f"{1e6 * v.cpu_seconds:,.0f} µs"),
    ]
    if plan.demand.price is not None:
        rows += [
            ("cost per million predictions", lambda v: _cost(v.cost_per_million)),
            ("  of which CPU time", lambda v: _cost(v.cpu_cost_per_million)),
        ]
    for title, show in rows:
        table.add_row(title, *(show(variant) for variant in plan.variants))
    return table


def _checks(variants: list[VariantPlan]) -> Table:
    table = Table(title="The model compared with the measurement", title_justify="left")
    for title in ("variant", "requests/s", "p99 measured", "p99 predicted", "ratio"):
        table.add_column(title, justify="left" if title == "variant" else "right")
    for variant in variants:
        for check in variant.checks:
            ratio = f"{check.predicted / check.measured:.2f}" if check.predicted is not None else _NONE
            table.add_row(variant.name, f"{check.rate:,.0f}", _ms(check.measured), _predicted(check), ratio)
    return table


def _predicted(check: Check) -> str:
    return "overloaded" if check.predicted is None else _ms(check.predicted)


def _servers(variant: VariantPlan) -> str:
    if variant.servers is None:
        return "none meets it"
    if variant.low is None or variant.high is None:
        return f"{variant.servers:,}"
    return f"{variant.servers:,} ({variant.low:,} to {variant.high:,})"


def _sentence(variant: VariantPlan, plan: Plan) -> str:
    if variant.servers is None:
        return f"{variant.name}: no number of servers keeps p99 within {_ms(plan.demand.p99)}."
    s = "s" if variant.servers != 1 else ""
    cost = (
        f", {_cost(variant.cost_per_million)} per million predictions" if variant.cost_per_million is not None else ""
    )
    return (
        f"{variant.name}: {variant.servers:,} server{s} ({variant.cores:,} cores){cost}; {variant.breaks_first} first."
    )


def _cost(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3g}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _warn(console: Console, text: str) -> None:
    console.print(f"! {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
