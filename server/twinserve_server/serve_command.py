"""What `twinserve serve` does once its flags are read: settings, first build, run, and words for what goes wrong."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from twinserve_server.app import run_server
from twinserve_server.core.errors import ArtefactError, TwinserveError
from twinserve_server.core.repository import find_versions
from twinserve_server.logs import configure_logging
from twinserve_server.settings import ServerSettings
from twinserve_server.supervisor import Supervisor

console = Console(stderr=True)


def run(given: dict[str, Any], ready_file: Path | None, build: bool) -> int:
    """Serve; return the exit code: 0 after a drain, 1 for models that cannot be served, 2 for wrong settings."""
    try:
        settings = ServerSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            say_error(describe(problem, given))
        return 2
    configure_logging(settings.log_format, settings.log_level, process="supervisor")
    try:
        if build and not (settings.models.is_dir() and find_versions(settings.models)):
            build_models(settings.models)
        with console.status("starting …") as status:

            def progress(ready: int, total: int) -> None:
                status.update(f"starting: {ready} of {total} processes are ready")

            def ready(supervisor: Supervisor, port: int, metrics_port: int) -> None:
                status.stop()
                announce(supervisor, port, metrics_port)

            asyncio.run(run_server(settings, ready_file=ready_file, on_progress=progress, on_ready=ready))
    except TwinserveError as error:
        say_error(error.message)
        return 1 if isinstance(error, ArtefactError) else 2
    return 0


def describe(problem: Any, given: dict[str, Any]) -> str:
    """A problem of the settings: which flag or variable, what is wrong, what was given."""
    field = str(problem["loc"][0]) if problem["loc"] else ""
    where = f"--{field.replace('_', '-')}" if field in given else f"TWINSERVE_{field.upper()}"
    value = given[field] if field in given else os.environ.get(where, problem["input"])
    shown = repr(" ".join(map(str, value)) if isinstance(value, list) else value)
    return f"{where}: {problem['msg'].removeprefix('Value error, ')} (given: {shown})"


def say_error(message: str) -> None:
    """One line, whatever the width of the terminal and whatever brackets it holds."""
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def build_models(folder: Path) -> None:
    """Build the MNIST models into ``folder``: a first start needs something to serve.

    Raises:
        ArtefactError: what is needed to build them is not installed.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise ArtefactError(
            f"model folder {folder}: holds no models, and twinserve[models] is not installed to build them; "
            "install it, or give --models"
        )
    from twinserve_models.build import ensure_models  # noqa: PLC0415  (the first start only)

    console.print(f"[yellow]No models in {folder}: building the MNIST pair once.[/]")
    ensure_models(folder, data=None, seed=0, progress=True)


def announce(supervisor: Supervisor, port: int, metrics_port: int) -> None:
    """Tell the terminal what is served where."""
    settings = supervisor.plan.settings
    table = Table.grid(padding=(0, 2))
    for name, version in supervisor.plan.versions.items():
        shares = supervisor.policies[name].shares
        for variant in version.variants.values():
            table.add_row(
                f"[bold]{name}[/] v{version.version}",
                f"[cyan]{variant.name}[/]",
                f"{variant.bytes / 1024:,.0f} KB",
                f"sha256 {variant.sha256[:12]}",
                f"{shares.get(variant.name, 0):.0%} of unnamed requests",
            )
    where = f"gRPC {settings.host}:{port}   metrics http://{settings.host}:{metrics_port}/metrics"
    processes = f"{len(supervisor.gateways)} gateways, {len(supervisor.models)} model processes"
    console.print(Panel(table, title=f"twinserve: {where}", subtitle=f"{processes}; Ctrl-C drains and stops"))
