"""Check arguments before anything is sent. Each message names the argument, its value and what is expected."""

from __future__ import annotations

import datetime as dt
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, Final

from twinserve_client.errors import ConfigurationError, InvalidInputError

#: Longer timeouts are clamped to a year: gRPC's clock overflows, and nobody waits that long.
LONGEST_SECONDS: Final = 365 * 86_400.0

_Refusal = type[ConfigurationError] | type[InvalidInputError]


def refusal(kind: _Refusal, name: str, problem: str) -> ConfigurationError | InvalidInputError:
    """An error of type ``kind`` that reports ``problem`` for the argument ``name``."""
    if issubclass(kind, InvalidInputError):
        return kind.of(name, problem)
    return kind(f"{name}: {problem}")


def shown(value: object) -> str:
    """The repr of any value, shortened for a message."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (a broken repr must not hide the message)
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}…"


def seconds(name: str, value: object, kind: _Refusal = InvalidInputError) -> float | None:
    """A timeout in seconds; None (no limit) for None and infinity.

    Raises:
        ConfigurationError, InvalidInputError: (whichever is ``kind``) not a number above 0.
    """
    if value is None:
        return None
    found = number(value)
    if found is None or not found > 0:
        hint = "; give timedelta.total_seconds()" if isinstance(value, dt.timedelta) else ""
        raise refusal(kind, name, f"is {shown(value)}; give seconds above 0, or math.inf for no limit{hint}")
    return None if math.isinf(found) else min(found, LONGEST_SECONDS)


def number(value: object) -> float | None:
    """A real number as a float; None if it is not one. Booleans do not count as numbers."""
    if type(value).__name__ in ("bool", "bool_") or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):
        return None


def whole(name: str, value: object, low: int, high: int, kind: _Refusal = InvalidInputError) -> int:
    """An integer within ``low..high``.

    Raises:
        ConfigurationError, InvalidInputError: (whichever is ``kind``) not an integer, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not low <= int(value) <= high:
        raise refusal(kind, name, f"is {shown(value)}; give a whole number from {low} to {high}")
    return int(value)


def text(name: str, value: object, kind: _Refusal = InvalidInputError) -> str:
    """A string that can be encoded as UTF-8; "" for None.

    Raises:
        ConfigurationError, InvalidInputError: (whichever is ``kind``) not a string, or not encodable as UTF-8.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refusal(kind, name, f"is {shown(value)}, of type {type(value).__name__}; give text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise refusal(kind, name, f"{shown(value)} holds a lone surrogate, which UTF-8 cannot carry") from None
    return value


def version_number(value: object, name: str = "version") -> str:
    """A version number as text; "" for None. The server decides whether that version exists.

    Raises:
        InvalidInputError: neither text nor an integer.
    """
    return text(name, str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def flag(name: str, value: object) -> bool:
    """A boolean.

    Raises:
        InvalidInputError: neither True nor False.
    """
    if not isinstance(value, bool):
        raise InvalidInputError.of(name, f"is {shown(value)}; give True or False")
    return value


def texts(name: str, value: object) -> list[str]:
    """A list of strings; [] for None.

    Raises:
        InvalidInputError: not an iterable of strings.
    """
    if value is None:
        return []
    if isinstance(value, str | bytes):
        raise InvalidInputError.of(name, f"is the text {shown(value)}; give a list of names")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError.of(name, f"is {shown(value)}; give a list of names")
    try:
        items = list(value)
    except Exception as error:  # the caller's iterable can fail in any way
        raise InvalidInputError.of(name, f"cannot be read ({error})") from error
    for item in items:
        if not isinstance(item, str):
            raise InvalidInputError.of(name, f"holds {shown(item)}, of type {type(item).__name__}; give names")
    return [text(name, item) for item in items]


def shares(name: str, value: object) -> dict[str, float]:
    """Numbers by variant; {} for None. The server checks names and ranges.

    Raises:
        InvalidInputError: not a mapping from strings to finite numbers.
    """
    if value is None:
        return {}
    found: dict[str, float] = {}
    for key, share in pairs(name, value):
        as_number = number(share)
        if as_number is None or not math.isfinite(as_number):
            raise InvalidInputError.of(f"{name}[{shown(key)}]", f"is {shown(share)}; give a finite number")
        found[text(name, key if key is not None else 0)] = as_number
    return found


def pairs(name: str, value: object, kind: _Refusal = InvalidInputError) -> list[tuple[Any, Any]]:
    """The items of a mapping.

    Raises:
        ConfigurationError, InvalidInputError: (whichever is ``kind``) not a mapping.
    """
    if not isinstance(value, Mapping):
        raise refusal(kind, name, f"is {shown(value)}; give a mapping, as in {{'int8': 0.1}}")
    try:
        return list(value.items())
    except Exception as error:  # the caller's mapping can fail in any way
        raise refusal(kind, name, f"cannot be read ({error})") from error


def one_of(images: Any, inputs: Any) -> Any:
    """Whichever of the two the request is made from.

    Raises:
        InvalidInputError: both are given, or neither.
    """
    if (images is None) == (inputs is None):
        raise InvalidInputError.of(
            "inputs", "are missing, and so are images" if images is None else "cannot be combined with images"
        )
    if inputs is not None and not isinstance(inputs, Mapping):
        raise InvalidInputError.of("inputs", f"is {shown(inputs)}; give a mapping from names to arrays")
    return images if inputs is None else inputs
