"""``twinserve compare``: is the candidate worth shipping? The command line."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from twinserve_client.cli.tls import TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import TokenFile, use_token
from twinserve_loadtest.compare.exit_codes import NO_VERDICT

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve compare fp32 int8                          about ten minutes, on a server that it starts

  twinserve compare fp32 int8 --quick                  one minute, not decision-grade

  twinserve compare fp32 int8 --gates gates.toml --json    for a pipeline: exit code 0, 1 or 2; 3: no verdict

  twinserve compare fp32 int8 --junit compare.xml --summary compare.md --against main.json    what CI shows

  twinserve compare fp32 int8 --max-accuracy-loss 0.2pp --min-speedup p99=1.2 --min-speedup throughput=1.5

  twinserve compare fp32 int8 --target 127.0.0.1:8500 --metrics-url http://127.0.0.1:8502

  twinserve compare int8@1 int8@2                      two versions of one variant

  twinserve compare fp32 int8 --reuse reports/compare-fp32-int8.json    an earlier verdict, if it holds here
"""

HELP = """Measure two variants side by side and decide: SHIP (exit code 0), DO NOT SHIP (1) or NOT ENOUGH EVIDENCE (2).

Exit code 3: no verdict, because a server, models or a valid option is missing."""


#: click's UsageError, which newer versions of typer include under a private name.
UsageError: Any = typer.BadParameter.__base__


class WrongUseError(UsageError):  # type: ignore[misc]
    """A usage error exits like any other missing verdict: click's own code for it means NOT ENOUGH EVIDENCE here."""

    exit_code = NO_VERDICT


class CompareCommand(TyperCommand):
    """The command, with its own exit code for usage errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual, but for the exit code."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise WrongUseError(error.format_message(), error.ctx) from None


@app.command(cls=CompareCommand, epilog=EXAMPLES, help=HELP)
def compare(
    baseline: Annotated[str, typer.Argument(help="Variant A, for example fp32, or int8@1: of version 1.", metavar="A")],
    candidate: Annotated[str, typer.Argument(help="Variant B, for example int8, or int8@2.", metavar="B")],
    quick: Annotated[bool, typer.Option("--quick", help="About a minute; not decision-grade.")] = False,
    precision: Annotated[float, typer.Option(help="Stop when the intervals are this narrow: +/- percent.")] = 2.0,
    time: Annotated[float | None, typer.Option(help="Time budget in seconds. (default: 600; quick: 60)")] = None,
    gates: Annotated[Path | None, typer.Option(help="TOML file with gates. (default: built-in gates)")] = None,
    max_accuracy_loss: Annotated[
        str | None, typer.Option(help="Gate: accuracy B may lose, in percentage points.", metavar="0.5pp")
    ] = None,
    max_quality_loss: Annotated[
        str | None,
        typer.Option(help="Gate of a model without classes: loss, in its metric's unit, or 5%.", metavar="X|N%"),
    ] = None,
    min_speedup: Annotated[
        list[str] | None,
        typer.Option(help="Gate: speed-up of p50, p99, throughput, single_stream.p50, ...", metavar="FIGURE=X"),
    ] = None,
    max_memory_ratio: Annotated[float | None, typer.Option(help="Gate: memory added by the model, B / A.")] = None,
    max_size_ratio: Annotated[float | None, typer.Option(help="Gate: artefact size, B / A.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="host:port of a running server; several as for loadtest. (default: start one)"),
    ] = None,
    metrics_url: Annotated[
        list[str] | None, typer.Option(help="With --target: metrics address of each server (memory, CPU).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model. (default: the server's default model)")] = None,
    models: Annotated[Path, typer.Option(help="Model folder; holds <model>/testset.npz.")] = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Test set to use instead of the model folder's.")] = None,
    images: Annotated[int | None, typer.Option(help="Use only the first N test images.", min=1)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Open loop: requests/s. (default: half of what the slower variant can)")
    ] = None,
    slo_ms: Annotated[float, typer.Option(help="Latency objective: p99 in milliseconds.")] = 10.0,
    batching: Annotated[bool, typer.Option(help="Without --target: dynamic batching.")] = True,
    seed: Annotated[int, typer.Option(help="Seed for order, arrivals and resampling.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Result file. (default: reports/compare-A-B.json)")] = None,
    reuse: Annotated[Path | None, typer.Option(help="Reuse the verdict in this file, if it holds here.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict and its gates as JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the verdict as Markdown.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Earlier result of the same variants: report what has changed.")
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    token_file: TokenFile = None,
) -> None:
    from twinserve_loadtest.commands.publish import Publication, PublishError
    from twinserve_loadtest.compare.options import CompareOptionError, gates_of, objective_of, settings_of
    from twinserve_loadtest.target.error import TargetError
    from twinserve_loadtest.target.servers import joined

    try:
        publication = Publication.of(baseline, candidate, junit, summary)
    except PublishError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(NO_VERDICT) from None
    from twinserve_loadtest.commands.outcome import no_verdict, run_compare, run_reuse

    try:
        use_token(token_file, exit_code=NO_VERDICT)
    except typer.Exit:
        raise typer.Exit(no_verdict(f"--token-file {token_file}: holds no token", publication)) from None
    try:
        if against is not None:
            publication = publication.since(against, model)
        if reuse is not None:
            raise typer.Exit(run_reuse(reuse, models, publication, as_json=as_json))
        chosen = gates_of(
            gates,
            max_accuracy_loss=max_accuracy_loss,
            max_quality_loss=max_quality_loss,
            min_speedup=min_speedup or [],
            max_memory_ratio=max_memory_ratio,
            max_size_ratio=max_size_ratio,
        )
        settings = settings_of(
            baseline, candidate, quick=quick, precision=precision, seconds=time, rate=rate, seed=seed
        )
        objective = objective_of(slo_ms)
        place = joined(target) if target else None
    except (CompareOptionError, PublishError, TargetError) as error:
        raise typer.Exit(no_verdict(str(error), publication)) from None
    from twinserve_loadtest.compare.command import CompareOrder

    order = CompareOrder(
        settings=settings,
        gates=chosen,
        target=place,
        metrics_urls=metrics_url or (),
        model=model,
        models=models,
        data=data,
        images=images,
        batching=batching,
        objective=objective,
        as_json=as_json,
        output=output or Path("reports") / f"compare-{baseline}-{candidate}.json",
        command=shlex.join(["twinserve", *sys.argv[1:]]),
        tls=tls_of(tls_ca, tls_cert, tls_key),
        since_model=publication.against.model.name if publication.against else None,
    )
    raise typer.Exit(run_compare(order, publication))
