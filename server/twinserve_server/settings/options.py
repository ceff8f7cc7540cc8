"""The command line's options, from the declarations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from twinserve_server.settings.declaration import Declared, declared


def with_options(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a typer command an option for every setting; None, or an empty list: not given."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = [
            inspect.Parameter(entry.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(entry))
            for entry in declared(settings)
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _option(entry: Declared) -> Any:
    default = f" \\[default: {entry.default}]" if entry.default else ""
    option = typer.Option(help=entry.help + default, metavar=entry.metavar or None, rich_help_panel=entry.panel)
    return Annotated[_taken(entry.kind) | None, option]


def _taken(kind: Any) -> Any:
    """What the command line takes for a setting of this type: pairs are repeated, a list is one text."""
    if isinstance(kind, types.UnionType):
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is dict:
        return list[str]
    return kind if kind in {bool, int, float, Path} else str
