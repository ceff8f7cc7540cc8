"""``twinserve versions``: list, load, activate, roll back and unload the versions on a running server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from twinserve_client.cli.call_errors import fail, failures_told
from twinserve_client.cli.main import USAGE
from twinserve_client.cli.target import AdminTarget, Json, Model, Target
from twinserve_client.cli.tls import PLAIN_TEXT_HINT, TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import Token, TokenFile, use_token

if TYPE_CHECKING:
    from twinserve_client import Client
    from twinserve_client.types import ModelVersions

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve versions                       every version on disk or loaded, and which one is active

  twinserve versions activate 2            load version 2, send it the traffic, unload the previous one

  twinserve versions activate 2 --keep     the same, but keep the previous one loaded

  twinserve versions rollback              back to the previously active version

  twinserve versions load 2                alongside the active one; for requests with --variant int8@2

  twinserve versions unload 2
"""


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    LOAD = "load"
    ACTIVATE = "activate"
    ROLLBACK = "rollback"
    UNLOAD = "unload"


@app.command(epilog=EXAMPLES)
def versions(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="Which version. (default for load and activate: the highest on disk)"),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="activate, rollback: keep the previously active version loaded.")
    ] = False,
    target: Target = "127.0.0.1:8500",
    model: Model = None,
    admin_target: AdminTarget = None,
    token_file: TokenFile = None,
    token: Token = None,
    as_json: Json = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Show the versions of a model in a running server, or change which of them it serves, without a restart.

    A new version is verified, loaded and warm before it gets a request. A
    broken one changes nothing: the previous version keeps serving.

    Exit code 1: the server failed or refused (a broken version, unloading the
    active one); 2: an option is wrong, or there is no such version.
    """
    from twinserve_client import Client

    check(action, version, keep)
    use_token(token_file, token)
    tls = tls_of(tls_ca, tls_cert, tls_key)
    with (
        failures_told("versions", target, "" if tls else PLAIN_TEXT_HINT),
        Client(target, model=model, timeout=5.0, tls=tls, admin_target=admin_target) as client,
    ):
        models = perform(client, action, version, keep)
    if as_json:
        typer.echo(json.dumps([asdict(found) for found in models], indent=2))
    else:
        for found in models:
            show(found)


def check(action: Action, version: str | None, keep: bool) -> None:
    """Exit with code 2 if the arguments do not go together."""
    if version is not None and action in (Action.LIST, Action.ROLLBACK):
        fail("versions", f"{action} takes no version, but {version!r} is given", USAGE)
    if version is None and action is Action.UNLOAD:
        fail("versions", "unload: which one? Give its number, as in: twinserve versions unload 1", USAGE)
    if keep and action not in (Action.ACTIVATE, Action.ROLLBACK):
        fail("versions", f"--keep goes with activate and rollback, not with {action}", USAGE)


def perform(client: Client, action: Action, version: str | None, keep: bool) -> Sequence[ModelVersions]:
    """Perform the action and return the resulting versions.

    Raises:
        TwinserveError: the server refuses or does not answer.
    """
    match action:
        case Action.LOAD:
            return [client.versions.load(version)]
        case Action.ACTIVATE:
            return [client.versions.activate(version, keep_previous=keep)]
        case Action.UNLOAD:
            assert version is not None
            return [client.versions.unload(version)]
        case Action.ROLLBACK:
            return [roll_back(client, keep)]
    return client.versions.list()


def roll_back(client: Client, keep: bool) -> ModelVersions:
    """Activate the previously active version, unless someone else changed it in the meantime."""
    model = client.describe_model().model
    (now,) = [found for found in client.versions.list() if found.model == model]
    if not now.previous:
        fail(
            "versions",
            f"rollback: version {now.active} of {model} is the only one that was active since the server started",
            1,
        )
    return client.versions.activate(now.previous, keep_previous=keep, if_active=now.active)


def show(model: ModelVersions) -> None:
    """Print one line per version, with the active one marked."""
    before = f" (previously: {model.previous})" if model.previous else ""
    typer.echo(f"{model.model}: version {model.active or 'none'} is active{before}")
    for entry in model.versions:
        mark = "*" if entry.version == model.active else " "
        typer.echo(f"{mark} {entry.version:>4}  {entry.state:10} {', '.join(entry.variants) or entry.reason}".rstrip())
