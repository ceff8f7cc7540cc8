"""``twinserve traffic``: show or change how a running server distributes requests among variants."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from twinserve_client.cli.call_errors import fail, failures_told
from twinserve_client.cli.main import USAGE
from twinserve_client.cli.target import AdminTarget, Json, Model, Target
from twinserve_client.cli.tls import PLAIN_TEXT_HINT, TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import Token, TokenFile, use_token

if TYPE_CHECKING:
    from twinserve_client import Client
    from twinserve_client.types import Traffic

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve traffic                                  the policy in force

  twinserve traffic --split int8=0.1                 int8 gets a tenth of the requests that name no variant

  twinserve traffic --shadow int8=0.5                half of the requests also run on int8, once answered

  twinserve traffic --split int8=1 --shadow int8=0   int8 answers everything, no shadow
"""


@app.command(epilog=EXAMPLES)
def traffic(
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Share of the requests that name no variant; the first variant not listed gets the rest.",
            metavar="V=SHARE",
        ),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(help="Share of the requests that also run on a variant; 0 stops it.", metavar="V=SHARE"),
    ] = None,
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
    """Show how requests are distributed among variants, or change it in every gateway at once.

    What you do not give stays as it is. A caller with a routing key keeps its
    variant; a larger share moves no more keys than necessary.

    Exit code 1: the server failed, or someone else changed the policy in the
    meantime; 2: an option is wrong.
    """
    from twinserve_client import Client

    shares, shadows = shares_of("--split", split), shares_of("--shadow", shadow)
    use_token(token_file, token)
    tls = tls_of(tls_ca, tls_cert, tls_key)
    with (
        failures_told("traffic", target, "" if tls else PLAIN_TEXT_HINT),
        Client(target, model=model, timeout=5.0, tls=tls, admin_target=admin_target) as client,
    ):
        policy = client.get_traffic()
        if shares or shadows:
            policy = change(client, policy, shares, shadows)
    if as_json:
        typer.echo(json.dumps(asdict(policy), indent=2))
    else:
        show(policy)


def change(client: Client, policy: Traffic, shares: dict[str, float], shadows: dict[str, float]) -> Traffic:
    """Apply new shares on top of ``policy``.

    Raises:
        TwinserveError: the server rejects them, or its policy has changed.
    """
    weights = dict(policy.weights)
    if shares:
        rest = 1.0 - sum(shares.values())
        if rest < -1e-9:
            fail("traffic", f"--split: the shares sum to {sum(shares.values()):g}, more than 1", USAGE)
        weights = dict(shares)
        names = [variant.name for variant in client.describe_model().variants]
        first = next((name for name in names if name not in shares), None)
        if first is not None and rest > 0:
            weights[first] = rest
    kept = {name: share for name, share in {**policy.shadows, **shadows}.items() if share > 0}
    return client.set_traffic(weights, shadows=kept, if_generation=policy.generations or policy.generation)


def show(policy: Traffic) -> None:
    """Print one line per variant that answers or shadows."""
    total = sum(policy.weights.values())
    typer.echo(f"{policy.model}: requests that name no variant (policy {policy.generation})")
    for name, weight in sorted(policy.weights.items(), key=lambda pair: -pair[1]):
        typer.echo(f"  {name:16} {weight / total:7.1%}")
    for name, share in sorted(policy.shadows.items()):
        typer.echo(f"  {name:16} {share:7.1%}  as a shadow, once answered")


def shares_of(option: str, texts: list[str] | None) -> dict[str, float]:
    """Parse ``["int8=0.1"]``; exits with code 2 if malformed."""
    found = {}
    for text in texts or []:
        name, _, number = text.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not name or not 0 <= share <= 1:
            fail("traffic", f"{option} {text!r}: give a variant and a share from 0 to 1, as {option} int8=0.1", USAGE)
        found[name] = share
    return found
