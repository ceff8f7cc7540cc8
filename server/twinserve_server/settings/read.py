"""Read settings from flags and environment, or explain what is wrong with them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twinserve_server.errors import TwinserveError
from twinserve_server.settings.declaration import Declared, declared
from twinserve_server.settings.server import ServerSettings

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class SettingsError(TwinserveError):
    """Invalid settings: one line for each, with the flag or variable, what is wrong, and what was given."""

    reason = "SETTINGS"


def read_settings(given: Mapping[str, Any]) -> ServerSettings:
    """The settings of a server.

    Args:
        given: from the command line, by name; takes precedence over the environment. Empty variables are ignored.

    Raises:
        SettingsError: some are wrong.
    """
    from pydantic import ValidationError  # noqa: PLC0415  (not for --help)

    known = {entry.name: entry for entry in declared(ServerSettings)}
    variables = {name: os.environ.get(entry.variable) for name, entry in known.items()}
    values = {**{name: text for name, text in variables.items() if text}, **given}
    for name, value in values.items():
        if not all(_is_text(part) for part in (value if isinstance(value, list) else [value])):
            where = known[name].flag if name in given else known[name].variable
            raise SettingsError(f"{where}: {value!r} is not UTF-8 text")
    try:
        return _adapter().validate_python(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(problem, known, given) for problem in error.errors())) from None


@functools.cache
def _adapter() -> TypeAdapter[ServerSettings]:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(ServerSettings)


def _is_text(value: Any) -> bool:
    """Whether ``value`` is no text, or can be written: bytes of a command line that are not UTF-8 become surrogates."""
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def _line(problem: Any, known: dict[str, Declared], given: Mapping[str, Any]) -> str:
    entry = known[str(problem["loc"][0])]
    where = entry.flag if entry.name in given else entry.variable
    value = given[entry.name] if entry.name in given else os.environ[entry.variable]
    given_as = " ".join(map(str, value)) if isinstance(value, list) else value
    shown = repr(given_as) if isinstance(given_as, (int, float)) else repr(str(given_as))
    return f"{where}: {problem['msg'].removeprefix('Value error, ')} (given: {shown})"
