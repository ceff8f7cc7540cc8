"""``twinserve predict``: classify picture files with a served model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinserve_client.cli.call_errors import fail, failures_told
from twinserve_client.cli.main import USAGE
from twinserve_client.cli.tls import PLAIN_TEXT_HINT, TlsCa, TlsCert, TlsKey, tls_of
from twinserve_client.cli.token import Token, TokenFile, use_token

if TYPE_CHECKING:
    from twinserve_client import Client

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve predict seven.png                    the router picks the variant

  twinserve predict *.jpg --variant int8         several files, one request

  twinserve predict seven.png --compare          every variant side by side

  twinserve predict seven.png --show             what the model sees

  twinserve predict seven.png --json | jq        for programs

  twinserve predict item.npz --model words       named tensors: .npz, or .json as {"ids": [[5, 17, 2]]}

  curl -s https://example.org/7.png | twinserve predict -
"""


@app.command(epilog=EXAMPLES)
def predict(
    files: Annotated[
        list[str], typer.Argument(help="Pictures (PNG, JPEG, …), or tensors (.npz, .json); - reads a picture.")
    ],
    variant: Annotated[str | None, typer.Option(help="The variant that must answer. (default: the router's)")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Ask every variant and show them side by side.")] = False,
    target: Annotated[str, typer.Option(envvar="TWINSERVE_TARGET", help="host:port of the server.")] = "127.0.0.1:8500",
    model: Annotated[str | None, typer.Option(help="The model. (default: the server's)")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    show: Annotated[bool, typer.Option("--show", help="Draw each item as the model sees it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that the answer may take.")] = 5.0,
    retry_exhausted: Annotated[
        bool, typer.Option("--retry-exhausted", help="Retry within --timeout when the server is overloaded.")
    ] = False,
    token_file: TokenFile = None,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Classify pictures with a running server.

    A picture becomes what the model's manifest asks for. For MNIST: grey, white
    on black (dark ink on light paper is recognised), fitted into 20 x 20 and
    centred by mass in 28 x 28.

    Exit code 1: the server failed; 2: a file or an option is wrong.
    """
    from twinserve_client import Client

    if compare and variant is not None:
        fail("predict", "--compare asks every variant; leave out --variant", USAGE)
    use_token(token_file, token)
    tls = tls_of(tls_ca, tls_cert, tls_key)
    hint = f"; start a server with `twinserve serve`, or name another with --target{'' if tls else PLAIN_TEXT_HINT}"
    with (
        failures_told("predict", target, hint),
        Client(target, model=model, timeout=timeout, retry_exhausted=retry_exhausted, tls=tls) as client,
    ):
        answer(client, files, variant, compare=compare, top=top, show=show, as_json=as_json)


def answer(
    client: Client, files: list[str], variant: str | None, *, compare: bool, top: int, show: bool, as_json: bool
) -> None:
    """Read the pictures, call the server and print the answers.

    Raises:
        TwinserveError: a picture is unusable, or the call failed.
    """
    import time

    import numpy as np

    from twinserve_client.cli.predict_tensors import is_tensors
    from twinserve_client.cli.predict_view import as_document, print_answers, print_items
    from twinserve_client.pictures.read import PictureRules, in_the_models_range, read_picture

    if any(map(is_tensors, files)):
        answer_tensors(client, files, variant, compare=compare, as_json=as_json)
        return
    info = client.describe_model()
    rules = PictureRules.of(info)
    items = np.stack(
        [
            read_picture(sys.stdin.buffer.read(), rules, "standard input")
            if file == "-"
            else read_picture(Path(file), rules)
            for file in files
        ]
    )
    started = time.perf_counter()
    images = in_the_models_range(items, info)
    answers = client.compare(images) if compare else {"": client.predict(images, variant=variant)}
    seconds = time.perf_counter() - started
    predictions = list(answers.values())
    if as_json:
        import json

        typer.echo(json.dumps(as_document(files, predictions, info.labels), indent=2))
        return
    if show:
        print_items(files, items)
    print_answers(files, predictions, info.labels, top=top, seconds=seconds)


def answer_tensors(client: Client, files: list[str], variant: str | None, *, compare: bool, as_json: bool) -> None:
    """Read one file of named tensors, call the server and print the answers.

    Raises:
        TwinserveError: the file is unusable, or the call failed.
    """
    import json
    import time

    from twinserve_client.cli.predict_tensors import print_tensors, read_tensors, tensors_document

    if len(files) > 1:
        fail("predict", f"{len(files)} files are given; put all items of named tensors into one file", USAGE)
    inputs = read_tensors(Path(files[0]), client.describe_model())
    started = time.perf_counter()
    answers = client.compare(inputs) if compare else {"": client.predict(inputs=inputs, variant=variant)}
    seconds = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(tensors_document(list(answers.values())), indent=2))
    else:
        print_tensors(list(answers.values()), seconds)
