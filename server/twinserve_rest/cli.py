"""``twinserve rest``: the Open Inference Protocol over HTTP, in front of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinserve_client.cli.main import USAGE
from twinserve_client.cli.tls import TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import Token, TokenFile, read_token, use_token
from twinserve_host.exposure import is_private

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve rest                                     in front of the server on 127.0.0.1:8500

  curl -s localhost:8080/v2/models/mnist_int8        its inputs and outputs

  twinserve rest --admin-target 127.0.0.1:8501       callers may load and unload models, too

  curl -s localhost:8080/docs                        every call, with its schema
"""


@app.command(epilog=EXAMPLES)
def rest(
    target: Annotated[str, typer.Option(envvar="TWINSERVE_TARGET", help="host:port of the server.")] = "127.0.0.1:8500",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="HTTP port; 0: any free one.", min=0, max=65535)] = 8080,
    admin_target: Annotated[
        str | None,
        typer.Option(
            help="host:port where the server takes admin calls; anyone who reaches this process may then load and "
            "unload models. (default: nobody)"
        ),
    ] = None,
    admin_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of the admin calls. (default: as for the others)")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one inference may take.", min=0.001)] = 30.0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in, though nothing is encrypted.")
    ] = False,
    token_file: TokenFile = None,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Speak the Open Inference Protocol over HTTP (JSON and binary tensors) in front of a running server.

    A separate process, for curl, browsers and clients without gRPC. It uses
    plain HTTP: put a proxy with TLS in front of it if others can reach it.
    """
    import uvicorn

    from twinserve_client import AsyncClient, ConfigurationError
    from twinserve_rest.app import make_app

    if not (insecure or is_private(host)):
        typer.echo(
            f"twinserve rest: --host {host}: other machines could reach this port in plain text, and use the token of "
            "this process; put a proxy with TLS before it, or give --insecure when the network itself is trusted",
            err=True,
        )
        raise typer.Exit(USAGE)
    use_token(token_file, token)
    if admin_token_file is not None and admin_target is None:
        typer.echo(
            "twinserve rest: --admin-token-file: is for the calls to --admin-target; give that as well", err=True
        )
        raise typer.Exit(USAGE)
    admin_token = None if admin_token_file is None else read_token(admin_token_file, USAGE, "--admin-token-file")
    tls = tls_of(tls_ca, tls_cert, tls_key)

    def connect(model: str | None) -> AsyncClient:
        return AsyncClient(target, model=model, timeout=timeout, tls=tls)

    def connect_admin(model: str | None) -> AsyncClient:
        return AsyncClient(admin_target, model=model, timeout=timeout, tls=tls, token=admin_token)

    try:
        # Report wrong addresses or files now, not to every caller later.
        connect(None), connect_admin(None)
    except ConfigurationError as error:
        typer.echo(f"twinserve rest: {error}", err=True)
        raise typer.Exit(USAGE) from None
    app = make_app(connect, None if admin_target is None else connect_admin)
    uvicorn.run(app, host=host, port=port, log_level="info", access_log=False)
