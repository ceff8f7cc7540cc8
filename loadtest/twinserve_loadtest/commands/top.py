"""``twinserve top``: the variants of a running server, live, without Grafana."""

from __future__ import annotations

from typing import Annotated

import typer

from twinserve_client.cli.token import TokenFile, use_token

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve top                                  the server on this machine

  twinserve top http://10.0.0.7:8502 --interval 5

  twinserve top http://10.0.0.7:8502 http://10.0.0.8:8502     several servers: together, and each

  twinserve top --once                           one table, for a log or an email
"""


@app.command(epilog=EXAMPLES, help="Watch a running server: its variants side by side, from /metrics alone.")
def top(
    url: Annotated[
        list[str] | None,
        typer.Argument(help="The metrics address of each server. (default: http://127.0.0.1:8502)", show_default=False),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between readings.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Read twice, print one table and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Like --once, as JSON.")] = False,
    token_file: TokenFile = None,
) -> None:
    """Runs until Ctrl-C. Exit codes: 0, and 2 when the metrics cannot be read."""
    from rich.console import Console
    from rich.text import Text

    from twinserve_loadtest.target.metrics import MetricsError
    from twinserve_loadtest.top.screen import print_json, print_once, watch

    use_token(token_file)
    listed = [part for text in url or () for part in text.split(",") if part]
    urls = list(dict.fromkeys(listed)) or ["http://127.0.0.1:8502"]
    try:
        (print_json if as_json else print_once if once else watch)(urls, interval, Console())
    except MetricsError as error:
        Console(stderr=True).print(Text.assemble(("error: ", "red"), str(error)), soft_wrap=True)
        raise typer.Exit(2) from None
