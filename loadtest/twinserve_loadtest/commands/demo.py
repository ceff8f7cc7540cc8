"""``twinserve demo``: build, measure, serve, load, report, in one command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

#: The files it writes to the reports folder.
FILES = {"report": "html", "loadtest": "json", "bench": "json"}

EXAMPLES = """
Examples:

  twinserve demo                                 everything; a few minutes the first time, then under three

  MNIST_ROOT=/data/mnist twinserve demo          with MNIST from that folder

  twinserve demo --duration 20                   longer blocks, steadier figures

  twinserve demo --full                          train on everything, even on a slow machine
"""


@app.command(epilog=EXAMPLES, help="Train, quantise, serve, load-test and report: the whole answer for MNIST.")
def demo(
    models: Annotated[Path, typer.Option(help="Model folder; built if missing.")] = Path("models"),
    reports: Annotated[Path, typer.Option(help="Folder for results and report.")] = Path("reports"),
    data: Annotated[Path | None, typer.Option(help="Folder that holds MNIST. (default: MNIST_ROOT)")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of load per scenario and variant.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for arrivals and image order.")] = 1,
    full: Annotated[
        bool,
        typer.Option("--full", help="Train on everything, however slow the machine. (default: ten minutes in all)"),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the paths as JSON; everything else goes to standard error.")
    ] = False,
) -> None:
    """Exit code 0: done; 1: a part failed or is incomplete; 2: it could not begin; 130: Ctrl-C."""
    from twinserve_loadtest.demo import Demo

    tour = Demo(models, reports, data, duration, seed, full)
    if not as_json:
        raise typer.Exit(tour.run())
    sys.stdout.flush()
    # Its steps are processes that write to the same descriptor.
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        code = tour.run()
        sys.stdout.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    files = {name: str(reports / f"{name}.{kind}") for name, kind in FILES.items()}
    typer.echo(json.dumps({**files, "exit_code": code}))
    raise typer.Exit(code)
