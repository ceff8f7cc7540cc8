"""``twinserve models``: build, list, show and bench the artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Build, list, show and bench the models.")

Models = Annotated[Path, typer.Option("--models", help="Model folder.")]


@app.command()
def build(
    models: Models = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Folder that holds MNIST.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    force: Annotated[bool, typer.Option(help="Replace a version that is there.")] = False,
) -> None:
    """Train the network and write its three variants."""
    from twinserve_models.build import build_models
    build_models(models, data=data, seed=seed, force=force)


@app.command(name="list")
def list_() -> None:
    pass
