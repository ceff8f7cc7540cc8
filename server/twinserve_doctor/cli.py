"""``twinserve doctor``: the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve doctor                          whether `twinserve serve` would start here, and why not

  twinserve doctor --models models --port 9000

  twinserve doctor --json | jq .serves

The other settings of a server are taken from the environment (TWINSERVE_HOST=...), as `twinserve serve` takes them.
"""


@app.command(epilog=EXAMPLES)
def doctor(
    models: Annotated[Path | None, typer.Option(help="Model folder. (default: models)")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. (default: 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port. (default: 8500)")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics. (default: 8502)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Check processor, memory, libraries, models and ports, and say what to do about each finding.

    Exit code 0: a server would start; 1: it would not.
    """
    import json

    from rich.console import Console

    from twinserve_doctor.examine import examine, serves
    from twinserve_doctor.view import show

    given = {"models": models, "host": host, "port": port, "metrics_port": metrics_port}
    errors = Console(stderr=True)
    with errors.status("checking …") as status:
        found = examine(
            {name: value for name, value in given.items() if value is not None},
            lambda what: status.update(f"checking {what} …"),
        )
    if as_json:
        print(json.dumps({"serves": serves(found), "findings": [finding.to_json() for finding in found]}, indent=1))
    else:
        show(found, Console())
    raise typer.Exit(0 if serves(found) else 1)
