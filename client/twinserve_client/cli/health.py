"""``twinserve health``: ask a server whether it is serving, for probes and scripts."""

from __future__ import annotations

import json
from typing import Annotated, NoReturn

import typer

from twinserve_client.cli.main import USAGE
from twinserve_client.cli.tls import PLAIN_TEXT_HINT, TlsCa, TlsCert, TlsKey, tls_of

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve health                          everything with traffic is ready

  twinserve health mnist/int8               one variant

  twinserve health live                     the server answers, whatever its models do
"""


@app.command(epilog=EXAMPLES)
def health(
    service: Annotated[str, typer.Argument(help="What to check: MODEL/VARIANT, or 'live'. (default: everything)")] = "",
    target: Annotated[str, typer.Option(envvar="TWINSERVE_TARGET", help="host:port of the server.")] = "127.0.0.1:8500",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.001)] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Ask a running server for its health (gRPC's health protocol), as a container's health check does.

    Exit code 0: serving; 1: not serving, or no answer; 2: an option is wrong.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from twinserve_client import ConfigurationError
    from twinserve_client._channel import Connection

    tls = tls_of(tls_ca, tls_cert, tls_key)
    try:
        connection = Connection.of(
            target, retries=None, tls=tls, token=None, metadata=None, isolated=True, channel_options=()
        )
    except ConfigurationError as error:
        typer.echo(f"twinserve health: {error}", err=True)
        raise typer.Exit(USAGE) from None
    what = service or "the server"

    def tell(status: str, line: str, *, good: bool = False) -> NoReturn:
        """Print the answer to standard output; without JSON, errors go to standard error."""
        if as_json:
            typer.echo(json.dumps({"target": target, "service": service, "status": status}))
        if not as_json or not good:
            typer.echo(line, err=not good)
        raise typer.Exit(0 if status == "SERVING" else 1)

    try:
        with connection.open() as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout, wait_for_ready=True)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            tell("SERVICE_UNKNOWN", f"twinserve health: {target} knows no service {service!r}")
        hint = "" if tls else PLAIN_TEXT_HINT
        tell("NO_ANSWER", f"twinserve health: no answer from {target} ({error.code().name}){hint}")
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    tell(status, f"{what}: {status}", good=True)
