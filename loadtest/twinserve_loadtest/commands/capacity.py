"""``twinserve capacity``: how many servers a load needs."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve capacity --rate 20000 --p99 10ms --from reports/loadtest.json

  twinserve capacity --rate 20000 --p99 10ms --from reports/loadtest.json --from reports/step.json    a better check

  twinserve capacity --rate 500 --p99 25ms --from reports/compare-fp32-int8.json --price-per-core-hour 0.04 --json
"""

HELP = """How many servers does a rate need to meet an objective, what is the bottleneck, and what does it cost?

Uses files of `twinserve loadtest` and `compare` with the server's CPU time. Exit code 0: every variant has an answer;
1: with one of them, no number of servers meets the objective; 2: a file or an option is wrong."""

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(us|µs|ms|s)\s*")


@app.command(epilog=EXAMPLES, help=HELP)
def capacity(
    rate: Annotated[float, typer.Option(help="Requests of one image per second, over all servers.")],
    p99: Annotated[str, typer.Option(help="Objective, with its unit.", metavar="10ms")],
    files: Annotated[list[Path], typer.Option("--from", help="Result of loadtest or compare; may be repeated.")],
    headroom: Annotated[float, typer.Option(help="Part of each server to keep free.")] = 0.3,
    cores: Annotated[int | None, typer.Option(help="Cores of a server. (default: as measured)")] = None,
    price_per_core_hour: Annotated[float | None, typer.Option(help="Adds cost per million predictions.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    from rich.console import Console

    from twinserve_loadtest.capacity.measured import CapacityError
    from twinserve_loadtest.capacity.plan import Demand, plan
    from twinserve_loadtest.capacity.view import print_plan
    from twinserve_loadtest.record.files import RecordError, read_record

    objective = _seconds(p99)
    _within("--rate", rate, 0.001, 1e9)
    _within("--headroom", headroom, 0.0, 0.95)
    _within("--cores", cores, 1, 4096)
    _within("--price-per-core-hour", price_per_core_hour, 0.0, 1e6)
    demand = Demand(rate, objective, headroom, cores, price_per_core_hour)
    try:
        found = plan([read_record(path) for path in files], demand)
    except RecordError as error:
        _refuse(str(error))
    except CapacityError as error:
        _refuse(f"{', '.join(map(str, files))}: {error}")
    code = 0 if all(variant.servers for variant in found.variants) else 1
    if as_json:
        typer.echo(json.dumps({**asdict(found), "exit_code": code}, indent=1))
    else:
        print_plan(found, Console())
    raise typer.Exit(code)


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else math.nan
    if not 1e-6 <= seconds <= 3600:
        _refuse(f"--p99 is {text!r}; give a time with its unit, from 1us to 3600s, for example 10ms")
    return seconds


def _within(option: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:  # NaN lies in no range
        _refuse(f"{option} is {value:g}; it must lie in {low:g}..{high:g}")


def _refuse(text: str) -> NoReturn:
    typer.echo(f"Error: {text}", err=True)
    raise typer.Exit(2)
