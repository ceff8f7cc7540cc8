"""``twinserve token``: make, list and revoke the tokens of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(help="Make, list and revoke the tokens that `twinserve serve --tokens FILE` asks callers for.")

#: Exit code for usage errors.
USAGE = 2

File = Annotated[Path, typer.Option("--file", envvar="TWINSERVE_TOKENS", help="The server's token file.")]
DEFAULT_FILE = Path("tokens")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]

CREATE_EXAMPLES = """
Examples:

  twinserve token create app --role predict > app.token

  twinserve token create prometheus --role metrics --file /etc/twinserve/tokens

The file contains hashes only; the token is printed only once. To rotate, create a second token, hand it out, then
revoke the first: a running server re-reads the file when it changes.
"""


@app.command(epilog=CREATE_EXAMPLES)
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    role: Annotated[list[str], typer.Option(help="predict, metrics, or admin (includes both); may be repeated.")],
    file: File = DEFAULT_FILE,
    as_json: Json = False,
) -> None:
    """Create a token and print it once; the file keeps only its hash."""
    from twinserve_server.access.token_file import create_token
    from twinserve_server.access.tokens import TokenError

    try:
        secret = create_token(file, name, role)
    except TokenError as error:
        fail("create", error.message)
    typer.echo(json.dumps({"name": name, "roles": role, "token": secret}) if as_json else secret)


@app.command("list")
def list_tokens(file: File = DEFAULT_FILE, as_json: Json = False) -> None:
    """Show names and roles."""
    from twinserve_server.access.token_file import read_text
    from twinserve_server.access.tokens import TokenError, parse_tokens

    try:
        tokens = parse_tokens(read_text(file), str(file))
    except TokenError as error:
        fail("list", error.message)
    if as_json:
        typer.echo(json.dumps([{"name": token.name, "roles": list(token.roles)} for token in tokens]))
        return
    for token in tokens:
        typer.echo(f"{token.name:24} {','.join(token.roles)}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Whose token.")], file: File = DEFAULT_FILE, as_json: Json = False
) -> None:
    """Revoke a token; running servers notice within a second."""
    from twinserve_server.access.token_file import revoke_token
    from twinserve_server.access.tokens import TokenError

    try:
        revoke_token(file, name)
    except TokenError as error:
        fail("revoke", error.message)
    if as_json:
        typer.echo(json.dumps({"revoked": name}))
    typer.echo(f"revoked {name}", err=True)


def fail(command: str, message: str) -> NoReturn:
    """Print on one line why the command failed, and exit."""
    typer.echo(f"twinserve token {command}: {message}", err=True)
    raise typer.Exit(USAGE)
