"""The syntax of settings that hold several values, the same on the command line and in the environment.

A list is ``A,B``. Pairs are ``NAME=VALUE``: a flag is repeated, in a variable they are separated by spaces, semicolons
or commas. Either may also be JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

#: A comma ends a pair only if another one follows: ``int8=0,1`` is one pair.
_BETWEEN_PAIRS = re.compile(r"[\s;]+|,(?=[^,=\s;]+=)")


def names(given: Any) -> list[str]:
    """``"fp32,int8"`` as a list."""
    return [str(part) for part in _parts(given)]


def counts(given: Any) -> list[int]:
    """``"8,16"`` as numbers.

    Raises:
        ValueError: one of them is none, or below 1.
    """
    return [_number(part, 1) for part in _parts(given)]


def pairs(given: Any, convert: Callable[[Any], Value], example: str) -> dict[str, Value]:
    """``"int8=2 fp32=1"``, or a list of such texts, as a dictionary.

    Args:
        given: as above, or JSON, or a dictionary.
        convert: makes a value of what stands behind the equals sign.
        example: of a pair, for messages.

    Raises:
        ValueError: a pair is none, or names what another one has named.
    """
    given = _from_json(given)
    if isinstance(given, Mapping):
        return {str(name): _converted(f"{name}={value}", value, convert, example) for name, value in given.items()}
    found: dict[str, Value] = {}
    for text in [given] if isinstance(given, str) else given:
        for pair in filter(None, _BETWEEN_PAIRS.split(str(text))):
            name, equals, value = pair.partition("=")
            if not name or not equals:
                raise ValueError(f"{pair!r} is not a pair; write VARIANT=VALUE, such as {example}")
            if name in found:
                raise ValueError(f"{name!r} appears twice")
            found[name] = _converted(pair, value, convert, example)
    return found


def replicas(given: Any) -> dict[str, int]:
    """``"int8=2 fp32=1"``: numbers by name."""
    return pairs(given, lambda value: _number(value, None), "int8=2")


def pins(given: Any) -> dict[str, list[int]]:
    """``"int8=0,1"``: cores by name."""
    return pairs(given, _cores, "int8=0,1")


def shares(given: Any) -> dict[str, float]:
    """``"int8=0.1"``: shares of 0 to 1 by name."""
    return pairs(given, _share, "int8=0.1")


def _cores(value: Any) -> list[int]:
    numbers = [_number(part, 0) for part in _parts(value if isinstance(value, list) else str(value))]
    if not numbers:
        raise ValueError("no core is named")
    return numbers


def _share(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number") from None
    if not 0 <= number <= 1:
        raise ValueError("a share must be within 0..1")
    return number


def _converted(pair: str, value: Any, convert: Callable[[Any], Value], example: str) -> Value:
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{pair}: {error}; write VARIANT=VALUE, such as {example}") from None


def _parts(given: Any) -> list[Any]:
    given = _from_json(given)
    if isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()]
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return list(given)
    raise ValueError("give a list, such as A,B")


def _from_json(given: Any) -> Any:
    if not isinstance(given, str) or not given.lstrip().startswith(("[", "{")):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:  # the latter: nested thousands deep
        raise ValueError(f"not valid JSON ({error})") from None


def _number(value: Any, least: int | None) -> int:
    try:
        number = int(str(value))  # 1.5 is not a whole number, though int() would take it
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None
    if least is not None and number < least:
        raise ValueError(f"{number} is less than {least}")
    return number
