"""``twinserve loadtest``: the load test's command line."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from twinserve_client.cli.tls import TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import TokenFile, use_token

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve loadtest                                   everything, in about a minute and a half

  twinserve loadtest --mode open --rate 300 --duration 60 --variants fp32,int8

  twinserve loadtest --mode step --p99-limit-ms 10     the highest rate each variant sustains

  twinserve loadtest --target 10.0.0.7:8500 --metrics-url http://10.0.0.7:8502 --data testset.npz

  twinserve loadtest --target 10.0.0.7:8500,10.0.0.8:8500 --metrics-url http://10.0.0.7:8502,http://10.0.0.8:8502

The same users under Locust's own command line, with its web page:

  locust -f loadtest/twinserve_loadtest/locust_cli/locustfile.py --host 127.0.0.1:8500
"""

DEFAULT_HELP = "(default: TWINSERVE_TARGET, else 127.0.0.1:8500)"
MODES_HELP = "standard, accuracy, single-stream, closed, open, offline, step or mixed."


@app.command(epilog=EXAMPLES, help="Load-test a running server with the real test set; write raw results (JSON).")
def loadtest(
    target: Annotated[
        list[str] | None,
        typer.Option(help=f"host:port; repeat it, or give a list with commas, for several servers. {DEFAULT_HELP}"),
    ] = None,
    metrics_url: Annotated[
        list[str] | None, typer.Option(help="Each server's metrics, in their order: adds memory to the results.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to test. (default: the server's default model)")] = None,
    variants: Annotated[str | None, typer.Option(help="Variants to test. (default: all)", metavar="A,B")] = None,
    models: Annotated[Path, typer.Option(help="Model folder; holds <model>/testset.npz.")] = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Test set to use instead of the model folder's.")] = None,
    images: Annotated[int | None, typer.Option(help="Use only the first N test images.", min=1)] = None,
    mode: Annotated[str, typer.Option(help=MODES_HELP)] = "standard",
    users: Annotated[int, typer.Option(help="closed: requests in flight.")] = 8,
    rate: Annotated[float, typer.Option(help="open, mixed: requests/s; step: the first rate.")] = 200.0,
    duration: Annotated[float | None, typer.Option(help="Seconds of load per scenario and variant.")] = None,
    batch: Annotated[int, typer.Option(help="accuracy, offline: images per request.")] = 64,
    p99_limit_ms: Annotated[float, typer.Option(help="step: highest p99 allowed.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed for arrivals and image order.")] = 1,
    output: Annotated[Path, typer.Option(help="File for the raw results.")] = Path("reports/loadtest.json"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    token_file: TokenFile = None,
) -> None:
    """Exit code 0: complete; 1: something is missing; 2: the test could not begin; 130: Ctrl-C."""
    from twinserve_client import ConfigurationError
    from twinserve_client._target import Target
    from twinserve_loadtest.commands.outcome import run_loadtest
    from twinserve_loadtest.loadtest.command import Order
    from twinserve_loadtest.loadtest.plan import LoadSettings
    from twinserve_loadtest.target.error import TargetError
    from twinserve_loadtest.target.servers import joined

    try:
        settings = LoadSettings(
            mode=mode,  # type: ignore[arg-type]  # checked there
            users=users,
            rate=rate,
            duration=duration,
            batch=batch,
            seed=seed,
            p99_limit_ms=p99_limit_ms,
        )
    except ValueError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    names = [name.strip() for name in variants.split(",") if name.strip()] if variants else None
    command = shlex.join(["twinserve", *sys.argv[1:]])
    use_token(token_file)
    tls = tls_of(tls_ca, tls_cert, tls_key)
    try:
        place = joined(target) if target else Target.parse(None).text
    except (TargetError, ConfigurationError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    order = Order(settings, place, metrics_url or (), model, names, models, data, images, output, command, tls)
    raise typer.Exit(run_loadtest(order, as_json=as_json))
