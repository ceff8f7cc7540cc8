"""Options that several commands of ``twinserve models`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[Path, typer.Option("--models", help="Model folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
