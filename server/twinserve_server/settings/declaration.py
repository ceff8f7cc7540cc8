"""Declares a setting once; its flag, environment variable, help and row in the documentation are derived from it.

pydantic is imported only when something is validated: processes that receive valid settings do without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

PREFIX: Final = "TWINSERVE_"


def setting(
    default: Any,
    help: str,  # noqa: A002  (the word of every command line)
    *,
    panel: str,
    shown: str | None = None,
    metavar: str | None = None,
    **bounds: float,
) -> Any:
    """A field of the settings.

    Args:
        default: the default value.
        help: one sentence, for ``--help`` and the documentation.
        panel: the heading under which it appears there.
        shown: the default in words, if the value does not speak for itself.
        metavar: placeholder for a value, if its type does not suffice.
        bounds: ``ge`` and ``le``.
    """
    metadata = {"description": help, "panel": panel, "shown": shown, "metavar": metavar, **bounds}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Read:
    """In an annotation: turns text into the setting's value, before its type is checked."""

    convert: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415

        return core_schema.no_info_before_validator_function(self.convert, handler(source))


@dataclass(frozen=True, slots=True)
class Check:
    """In an annotation: raises ValueError for a value of the right type that is not possible here."""

    check: Callable[[Any], None]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415

        def checked(value: Any) -> Any:
            self.check(value)
            return value

        return core_schema.no_info_after_validator_function(checked, handler(source))


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration, read back.

    Attributes:
        name: of the field.
        kind: its type, without annotations.
        help: one sentence.
        panel: the heading under which it appears.
        default: in words; empty if there is none.
        metavar: placeholder for a value; empty if its type suffices.
        possible: its values: ``0..65535``, ``auto``, ``aio`` or ``fast``, a form such as ``V=N``; or empty.
    """

    name: str
    kind: Any
    help: str
    panel: str
    default: str
    metavar: str
    possible: str

    @property
    def flag(self) -> str:
        """``--max-batch-size``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """``TWINSERVE_MAX_BATCH_SIZE``."""
        return f"{PREFIX}{self.name.upper()}"


def declared(settings: type) -> list[Declared]:
    """Every setting of a dataclass, in the order of its fields."""
    kinds = get_type_hints(settings)
    return [_read(field, kinds[field.name]) for field in dataclasses.fields(settings)]


def _read(field: dataclasses.Field[Any], kind: Any) -> Declared:
    said = field.metadata
    least, most = said.get("ge"), said.get("le")
    possible = said["metavar"] or ""
    if get_origin(kind) is Literal:
        possible = ", ".join(get_args(kind))
    elif least is not None:
        possible = f"{least} or more" if most is None else f"{least}..{most}"
    default = said["shown"]
    if default is None:
        default = _in_words(field.default)
    return Declared(field.name, kind, said["description"], said["panel"], default, said["metavar"] or "", possible)


def _in_words(value: Any) -> str:
    if value is dataclasses.MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
