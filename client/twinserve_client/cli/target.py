"""Options of the commands that change a running server: which server, and which of its models."""

from __future__ import annotations

from typing import Annotated

import typer

Target = Annotated[str, typer.Option(envvar="TWINSERVE_TARGET", help="host:port of the server.")]
AdminTarget = Annotated[
    str | None,
    typer.Option(envvar="TWINSERVE_ADMIN_TARGET", help="host:port of its admin port. (default: the target itself)"),
]
Model = Annotated[str | None, typer.Option(help="The model. (default: the server's)")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
