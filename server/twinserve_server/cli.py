"""``twinserve serve``: the server's command line. Its options are declared in ``settings``."""

from __future__ import annotations

from typing import Any

import typer

from twinserve_server.settings.options import with_options
from twinserve_server.settings.server import ServerSettings

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve serve                                    models/ on 127.0.0.1:8500, metrics on 8502

  twinserve serve --split int8=0.1                   int8 gets a tenth of the requests that name no variant

  twinserve serve --variants fp32,int8 --replicas int8=2 --gateways 2

  twinserve serve --explain-plan                     how many processes would run on this machine, and why

  twinserve serve --tls-cert server.pem --tls-key server.key --tls-client-ca clients.pem

  twinserve serve --tokens tokens                    callers need a token; `twinserve token create` makes one

  twinserve serve --port 0 --ready-file ready.json   any free port; the file says which

Every option can also be set in the environment with the same syntax; separate several pairs with spaces:

  TWINSERVE_PORT=9000 TWINSERVE_VARIANTS=fp32,int8 TWINSERVE_REPLICAS="fp32=1 int8=2" twinserve serve
"""


@app.command(epilog=EXAMPLES, help="Serve the variants of the models in a folder behind one gRPC service.")
@with_options(ServerSettings)
def serve(**given: Any) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; exit code 0."""
    from twinserve_server.serve import run

    raise typer.Exit(run({name: value for name, value in given.items() if value not in (None, [])}))
