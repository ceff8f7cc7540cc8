"""``twinserve``: finds the sub-commands of the installed packages, and loads each only when it is needed.

A package provides a command with an entry point in the group ``twinserve.commands`` that names a ``typer.Typer``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, MutableMapping
from importlib import metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from twinserve_client._environment import version
from twinserve_client.cli.failure import explain, release_output
from twinserve_client.cli.main import INTERRUPTED, UNEXPECTED, usage_code

GROUP: Final = "twinserve.commands"

#: The order in which a user meets them; others follow.
ORDER: Final = (
    "demo",
    "doctor",
    "models",
    "serve",
    "token",
    "predict",
    "traffic",
    "versions",
    "loadtest",
    "compare",
    "report",
    "capacity",
    "top",
)

#: The extra that installs a package's dependencies.
EXTRAS: Final = {
    "twinserve_client": "cli",
    "twinserve_server": "server",
    "twinserve_models": "models",
    "twinserve_loadtest": "loadtest",
    "twinserve_rest": "rest",
    "twinserve_doctor": "cli",
}

#: How a command ends deliberately: an exit code, or one of click's usage errors.
_EXPECTED: Final[Any] = (typer.Exit, typer.BadParameter.__mro__[2])

#: Options that typer adds to every application; only the root needs them.
_COMPLETION: Final = ("install_completion", "show_completion")


class Commands(MutableMapping[str, Any]):
    """The sub-commands by name; each is loaded when it is looked up."""

    def __init__(self) -> None:
        self._points = {point.name: point for point in metadata.entry_points(group=GROUP)}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load(self._points[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._points[name]

    def __iter__(self) -> Iterator[str]:
        rank = {name: index for index, name in enumerate(ORDER)}
        return iter(sorted(self._points, key=lambda name: (rank.get(name, len(rank)), name)))

    def __len__(self) -> int:
        return len(self._points)


class LazyGroup(TyperGroup):
    """A group over :class:`Commands`; when a dependency is missing, it says how to install it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command. An unexpected failure never exits with a code that means a result (1: DO NOT SHIP)."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # a full disk or a closed pipe must show here, not at interpreter exit
        except _EXPECTED:
            raise
        except ModuleNotFoundError as missing:
            name = ctx.invoked_subcommand
            if missing.name is None or missing.name.startswith("twinserve") or name is None:
                typer.echo(explain(name, missing), err=True)
                raise typer.Exit(UNEXPECTED) from None
            (point,) = metadata.entry_points(group=GROUP, name=name)
            typer.echo(f"twinserve {name}: {remedy(point, missing.name)}", err=True)
            raise typer.Exit(usage_code(name)) from None
        except (EOFError, typer.Abort):
            raise typer.Exit(INTERRUPTED) from None
        except (BrokenPipeError, SystemExit):  # rich turns the former into the latter
            release_output()
            raise typer.Exit(UNEXPECTED) from None
        except Exception as error:  # noqa: BLE001  # the one place that reports unexpected failures
            release_output()
            typer.echo(explain(ctx.invoked_subcommand, error), err=True)
            raise typer.Exit(UNEXPECTED) from None


def load(point: metadata.EntryPoint) -> Any:
    """The command of an entry point, or a stub that says what is missing."""
    try:
        command = typer.main.get_command(point.load())
    except ModuleNotFoundError as missing:
        if missing.name is None or (missing.name.startswith("twinserve") and point.module != missing.name):
            raise
        return stub(point, remedy(point, missing.name))
    command.name = point.name  # a group of sub-commands does not know its own
    command.params = [parameter for parameter in command.params if parameter.name not in _COMPLETION]
    if absent := absent_requirements(extra_of(point)):
        command.short_help = f"({remedy(point, absent[0])})"
    return command


def stub(point: metadata.EntryPoint, what: str) -> Any:
    """A command that only says what has to be installed."""
    app = typer.Typer(add_completion=False)

    @app.command(
        point.name,
        help=f"({what})",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def say() -> None:
        typer.echo(f"twinserve {point.name}: {what}", err=True)
        raise typer.Exit(usage_code(point.name))

    return typer.main.get_command(app)


def extra_of(point: metadata.EntryPoint) -> str | None:
    """The extra of this distribution that the command needs; None for another distribution's command."""
    return EXTRAS.get(point.module.partition(".")[0])


def remedy(point: metadata.EntryPoint, missing: str) -> str:
    """What is missing and what to do about it."""
    extra = extra_of(point)
    if extra is None:
        return f"needs the module {missing}, which is not installed"
    return f"needs {missing}: pip install 'twinserve[{extra}]'"


def absent_requirements(extra: str | None) -> list[str]:
    """The requirements of ``twinserve[extra]``, including those of nested extras, that are not installed."""
    if extra is None:
        return []
    wanted = re.compile(rf"""^([\w.-]+)(?:\[([\w,-]+)\])?.*;.*extra\s*==\s*["']{extra}["']""")
    absent = []
    for name, extras in (
        match.groups() for line in metadata.requires("twinserve") or () if (match := wanted.match(line))
    ):
        if name == "twinserve":
            absent += [missing for inner in extras.split(",") for missing in absent_requirements(inner)]
        elif not _installed(name):
            absent.append(name)
    return absent


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twinserve {version()} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Serve a model and its quantised twin behind one gRPC service, and find out which one to ship."""
