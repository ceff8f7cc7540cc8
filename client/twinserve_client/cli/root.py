"""``twinserve``: finds the sub-commands that the installed packages bring, and loads none before it is asked for.

A package brings a command by an entry point of the group ``twinserve.commands`` that names a ``typer.Typer``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, MutableMapping
from importlib import metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from twinserve_client._channel import version
from twinserve_client.cli.failure import explain, release_output
from twinserve_client.cli.main import INTERRUPTED, UNEXPECTED, usage_code

GROUP: Final = "twinserve.commands"

#: The order of a user's way; what is not named here comes after.
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

#: Which extra brings what a package needs.
EXTRAS: Final = {
    "twinserve_client": "cli",
    "twinserve_server": "server",
    "twinserve_models": "models",
    "twinserve_loadtest": "loadtest",
    "twinserve_rest": "rest",
    "twinserve_doctor": "cli",
}

#: How a command ends of its own accord: an exit code, or click's errors of wrong use.
_EXPECTED: Final[Any] = (typer.Exit, typer.BadParameter.__mro__[2])

#: Added by typer to every application; only the root needs them.
_COMPLETION: Final = ("install_completion", "show_completion")


class Commands(MutableMapping[str, Any]):
    """The sub-commands by name; one is loaded when it is looked up."""

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
    """A group over :class:`Commands`; what a command lacks is said with the way to get it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command. However it fails, the exit code is none that means a result: 1 would be DO NOT SHIP."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # a full disk or a closed pipe shows here, not when the interpreter ends
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
        except (BrokenPipeError, SystemExit):  # rich turns the first into the second
            release_output()
            raise typer.Exit(UNEXPECTED) from None
        except Exception as error:  # noqa: BLE001  # the one place where what nobody expected is said
            release_output()
            typer.echo(explain(ctx.invoked_subcommand, error), err=True)
            raise typer.Exit(UNEXPECTED) from None


def load(point: metadata.EntryPoint) -> Any:
    """The command of an entry point, or one that says what is missing."""
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
    """A command that only says what it needs."""
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
    """The extra of this distribution that the command needs; None: it comes from elsewhere."""
    return EXTRAS.get(point.module.partition(".")[0])


def remedy(point: metadata.EntryPoint, missing: str) -> str:
    """What is missing and what to do about it."""
    extra = extra_of(point)
    if extra is None:
        return f"needs the module {missing}, which is not installed"
    return f"needs {missing}: pip install 'twinserve[{extra}]'"


def absent_requirements(extra: str | None) -> list[str]:
    """The distributions that ``twinserve[extra]`` asks for, by way of other extras too, and that are not installed."""
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
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Serve a model and its quantised twin behind one gRPC service, and learn which of them to ship."""
