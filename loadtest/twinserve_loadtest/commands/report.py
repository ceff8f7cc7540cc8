"""``twinserve report``: results files → a table, one HTML page with its JSON, and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

EXAMPLES = """
Examples:

  twinserve report reports/loadtest.json                    table here, page in reports/loadtest.html

  twinserve report compare.json loadtest.json --output answer.html --open

  twinserve report loadtest.json --test-set models/mnist    with the images on which the variants disagree

  twinserve report loadtest.json --picture result-dark.svg --theme dark
"""


@app.command(epilog=EXAMPLES, help="Turn results of load tests and comparisons into a page and a table.")
def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS.json...", help="Written by loadtest, compare, models bench.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page. (default: the first file, as .html)")
    ] = None,
    test_set: Annotated[
        Path | None, typer.Option(help="testset.npz or its folder: adds a gallery to a load test.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw one wide picture: FILE.svg or FILE.png.")] = None,
    theme: Annotated[str, typer.Option(help="Theme of the picture: light or dark.")] = "light",
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Exit codes: 0 written, 2 a file cannot be used."""
    from rich.console import Console
    from rich.text import Text

    from twinserve_loadtest.report import ReportError, json_path, read_document, write_document
    from twinserve_loadtest.report.picture import draw_picture
    from twinserve_loadtest.report.terminal import print_document

    console, errors = Console(), Console(stderr=True)
    try:
        document = read_document(results, test_set=test_set)
        page = write_document(document, output or results[0].with_suffix(".html"))
        written = {"page": page, "figures": json_path(page)}
        if picture is not None:
            written["picture"] = draw_picture(document, picture, theme)
        if as_json:
            typer.echo(json.dumps({name: str(path) for name, path in written.items()}))
        for name, path in ({} if as_json else written).items():
            console.print(f"{name:<8} {path}", highlight=False, markup=False, soft_wrap=True)
        if not as_json:
            console.print()
            print_document(document, console)
    except ReportError as error:
        errors.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise typer.Exit(2) from None
    if open_page:
        typer.launch(page.resolve().as_uri())
