"""What `twinserve serve` does once its flags are parsed: settings, first build, run, error messages."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

from twinserve_host.exposure import host_and_port
from twinserve_host.python import environment, python
from twinserve_host.sizes import kilobytes
from twinserve_server.errors import ArtefactError, TwinserveError
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.process_config import document, edge_variables
from twinserve_server.settings.connections import connection_limits
from twinserve_server.settings.exposure import listening, tls_files
from twinserve_server.settings.read import SettingsError, read_settings
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.plan import Plan
from twinserve_server.supervisor.runner import Runner
from twinserve_server.supervisor.start import SIGNALS, explain, plan_of, run_server
from twinserve_server.supervisor.supervisor import Supervisor
from twinserve_server.telemetry.logs import configure_logging

console = Console(stderr=True)

#: The command that builds models at the first start; the folder is appended.
BUILD = (*python("-m", "twinserve_client.cli.main"), "models", "build", "--models")
#: What an interrupted build may leave behind.
BUILT: Final = {"mnist"}
#: Exit code after Ctrl-C.
INTERRUPTED: Final = 130
#: How long a build may take to end after Ctrl-C.
INTERRUPT_SECONDS: Final = 5.0


def run(given: Mapping[str, Any]) -> int:
    """Serve with the settings given by flags, or only explain what would run; return the exit code.

    0: after a drain; 1: models cannot be served; 2: wrong settings; 130: a second Ctrl-C cut the drain short; or the
    exit code of a failed first build.
    """
    protect_standard_error()
    try:
        settings = read_settings(given)
    except SettingsError as error:
        for line in error.message.splitlines():
            say_error(line)
        return 2
    configure_logging(settings.log_format, settings.log_level, process="supervisor")
    try:
        listening(settings)
        connection_limits(settings)
        if (tls := tls_files(settings)) is not None:
            tls.check()
        if settings.models is None and settings.build and nothing_in(settings.model_folder):
            code = build_models(settings.model_folder)
            if code:
                return code
        if settings.explain_plan:
            with starting() as progress:
                reasons = asyncio.run(explain(settings, progress))
            print("\n".join(reasons))
            return 0
        if plan_of(settings).profile.edge:
            become_edge(settings)
    except TwinserveError as error:
        return failure(error)
    return run_here(settings, Supervisor)


def run_here(settings: ServerSettings, runner: Callable[[Plan, Entrance], Runner]) -> int:
    """Serve in this process, which ``runner`` fills; the exit code is as :func:`run` says."""
    try:
        with starting() as progress:

            def ready(what: Runner, metrics_port: int) -> None:
                progress.stop()
                announce(what, metrics_port)

            if not asyncio.run(run_server(settings, runner, on_progress=progress, on_ready=ready)):
                return INTERRUPTED
    except TwinserveError as error:
        return failure(error)
    return 0


def become_edge(settings: ServerSettings) -> NoReturn:
    """Put the edge profile's one process in the place of this one: what a command line needs would stay in memory, and
    gRPC and torch read their environment when they are loaded."""
    with tempfile.TemporaryFile() as handed:
        handed.write(document(settings))
        handed.flush()
        handed.seek(0)
        os.dup2(handed.fileno(), 0)
    protect_standard_error().finish()
    # Until the new process handles them: they should drain it, not kill it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.execve(sys.executable, python("-m", "twinserve_server.edge"), environment(**edge_variables(settings)))  # noqa: S606


class Progress:
    """Progress of a start, for people."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def __call__(self, ready: int, total: int) -> None:
        self._status.update(f"starting: {ready} of {total} are ready")

    def stop(self) -> None:
        """It is over."""
        self._status.stop()


@contextlib.contextmanager
def starting() -> Iterator[Progress]:
    """Show how far the start is."""
    with console.status("starting …") as status:
        yield Progress(status)


def failure(error: TwinserveError) -> int:
    """Print what went wrong; returns the exit code."""
    say_error(error.message)
    return 1 if isinstance(error, ArtefactError) else 2


def say_error(message: str) -> None:
    """One line, whatever the width of the terminal and whatever brackets it holds."""
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def nothing_in(folder: Path) -> bool:
    """Whether a build may put models there: the folder is missing, or contains nothing but leftovers of a build."""
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= BUILT)


def build_models(folder: Path) -> int:
    """Build the MNIST models into ``folder``, since a first start needs something to serve; the build's exit code.

    Raises:
        ArtefactError: what is needed to build them is not installed.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise ArtefactError(
            f"model folder {folder}: contains no models, and twinserve[models] is not installed to build them; "
            "install it, or give --models"
        )
    console.print(f"[yellow]No models in {escape(str(folder))}: building the MNIST pair once.[/]")
    # In a separate process: torch would stay in the supervisor's memory as long as the server lives.
    build = subprocess.Popen([*BUILD, str(folder)], env=environment())
    before = signal.signal(signal.SIGTERM, lambda *_: build.terminate())
    try:
        code = build.wait()
    except KeyboardInterrupt:
        # In a terminal, Ctrl-C reaches the build as well, which then ends by itself.
        with contextlib.suppress(subprocess.TimeoutExpired):
            build.wait(INTERRUPT_SECONDS)
        build.terminate()
        build.wait()
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return code if code >= 0 else 128 - code


def announce(runner: Runner, metrics_port: int) -> None:
    """Tell the terminal what is served where."""
    settings = runner.plan.settings
    table = Table.grid(padding=(0, 2))
    for name, version in runner.plan.versions.items():
        shares = runner.traffic.policies[name].shares
        for variant in version.variants.values():
            table.add_row(
                f"[bold]{name}[/] v{version.version}",
                f"[cyan]{variant.name}[/]",
                f"{kilobytes(variant.bytes)} KB",
                f"sha256 {variant.sha256[:12]}",
                f"{shares.get(variant.name, 0):.0%} of requests without a variant",
            )
    tls = "" if (files := tls_files(settings)) is None else " (mutual TLS)" if files.client_ca else " (TLS)"
    beside = listening(settings)
    scheme = "https" if beside.metrics_tls else "http"
    metrics = f"{scheme}://{host_and_port(beside.metrics_host, metrics_port)}/metrics"
    where = f"gRPC {host_and_port(settings.host, runner.entrance.port)}{tls}   metrics {metrics}"
    if runner.entrance.admin is not None:
        where += f"   admin {host_and_port(*runner.entrance.admin)}"
    where = escape(where)
    for reason in runner.plan.reasons:
        console.print(f"[dim]{escape(reason)}[/]", highlight=False, soft_wrap=True)
    if runner.transport == "native":
        console.print("[yellow]native transport: it does not bound the size of messages, for trusted callers only[/]")
    console.print(Panel(table, title=f"twinserve: {where}", subtitle=f"{runner.processes()}; Ctrl-C drains and stops"))
