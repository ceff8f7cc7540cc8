"""``twinserve serve``: the server's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve serve                                    models/ on 127.0.0.1:8500, metrics on 8502

  twinserve serve --split int8=0.1                   a tenth of the unnamed requests goes to int8

  twinserve serve --variants fp32,int8 --replicas int8=2 --gateways 2

  twinserve serve --tls-cert server.pem --tls-key server.key --tls-client-ca clients.pem

  twinserve serve --tokens tokens                    callers need a token; `twinserve token create` makes one

  twinserve serve --port 0 --ready-file ready.json   any free port; the file says which

Every option can also be set in the environment, in the same words; several pairs are separated by blanks:

  TWINSERVE_PORT=9000 TWINSERVE_VARIANTS=fp32,int8 TWINSERVE_REPLICAS="fp32=1 int8=2" twinserve serve
"""


@app.command(epilog=EXAMPLES, help="Serve the variants of the models in a folder behind one gRPC service.")
def serve(
    models: Annotated[Path | None, typer.Option(help="Model folder. [default: models]")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port; 0: any free one. [default: 8500]")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0: any. [default: 8502]")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM); turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of this authority (PEM).")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="Ask callers for a token of this file; see `twinserve token`.")
    ] = None,
    default_model: Annotated[str | None, typer.Option(help="Answers requests that name no model.")] = None,
    variants: Annotated[str | None, typer.Option(help="Serve only these. [default: all]", metavar="A,B")] = None,
    gateways: Annotated[int | None, typer.Option(help="Gateway processes. [default: one a core, at most 2]")] = None,
    replicas: Annotated[list[str] | None, typer.Option(help="Model processes of a variant.", metavar="V=N")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads in a forward pass. [default: 1]")] = None,
    pin: Annotated[list[str] | None, typer.Option(help="Cores of a variant or of 'gateway'.", metavar="V=0,1")] = None,
    transport: Annotated[str | None, typer.Option(help="auto, aio or fast. [default: auto]")] = None,
    batching: Annotated[bool | None, typer.Option(help="Dynamic batching. [default: on]")] = None,
    max_batch_size: Annotated[int | None, typer.Option(help="Images a forward pass. [default: manifest]")] = None,
    max_queue_delay_us: Annotated[
        int | None, typer.Option(help="How long a request may wait for company. [default: 0]")
    ] = None,
    preferred_batch_sizes: Annotated[
        str | None, typer.Option(help="With a delay: sizes at which a batch goes early.", metavar="N,M")
    ] = None,
    max_queue_images: Annotated[
        int | None, typer.Option(help="Images waiting for a variant before refusal. [default: 4096]")
    ] = None,
    max_request_images: Annotated[int | None, typer.Option(help="Images a request. [default: 1024]")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Share of unnamed requests.", metavar="V=SHARE")] = None,
    shadow: Annotated[list[str] | None, typer.Option(help="Share also run on a variant.", metavar="V=SHARE")] = None,
    grace: Annotated[float | None, typer.Option(help="Seconds a drain may take. [default: 10]")] = None,
    metrics: Annotated[bool | None, typer.Option(help="Count and time requests. [default: on]")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            help="Written once ready: ports and pid, as JSON.", envvar="TWINSERVE_READY_FILE", show_envvar=False
        ),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json. [default: console]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning, error. [default: info]")] = None,
    access_log_share: Annotated[
        float | None, typer.Option(help="At debug: share of the good RPCs that get a line. [default: 1]")
    ] = None,
    slow_request_ms: Annotated[
        float | None, typer.Option(help="Longer requests are logged with their stage split; 0: none. [default: 1000]")
    ] = None,
    tracing: Annotated[str | None, typer.Option(help="off, console or otlp (OpenTelemetry). [default: off]")] = None,
    trace_share: Annotated[float | None, typer.Option(help="Share of the traces that begin here. [default: 1]")] = None,
    build: Annotated[
        bool,
        typer.Option(help="Build the MNIST models when there are none.", envvar="TWINSERVE_BUILD", show_envvar=False),
    ] = True,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; exit code 0."""
    given: dict[str, Any] = {
        "models": models,
        "host": host,
        "port": port,
        "metrics_port": metrics_port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "tokens": tokens,
        "default_model": default_model,
        "variants": variants,
        "gateways": gateways,
        "replicas": replicas,
        "threads": threads,
        "pin": pin,
        "transport": transport,
        "batching": batching,
        "max_batch_size": max_batch_size,
        "max_queue_delay_us": max_queue_delay_us,
        "preferred_batch_sizes": preferred_batch_sizes,
        "max_queue_images": max_queue_images,
        "max_request_images": max_request_images,
        "split": split,
        "shadow": shadow,
        "grace": grace,
        "metrics": metrics,
        "log_format": log_format,
        "log_level": log_level,
        "access_log_share": access_log_share,
        "slow_request_ms": slow_request_ms,
        "tracing": tracing,
        "trace_share": trace_share,
    }
    from twinserve_server.serve import run

    raise typer.Exit(run({name: value for name, value in given.items() if value not in (None, [])}, ready_file, build))
