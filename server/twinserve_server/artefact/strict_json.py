"""Strict JSON: UTF-8, no duplicate keys, no NaN, limited nesting."""

from __future__ import annotations

import json
from typing import Any, Final

from twinserve_server.errors import ArtefactError, shown

MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1


def parse_json(data: bytes, source: str) -> Any:
    """The value in ``data``.

    Raises:
        ArtefactError: not strict JSON; one line, with ``source`` and, if known, the field.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtefactError(
            f"{source}: is not UTF-8 (byte 0x{data[error.start]:02x} at position {error.start}); save it as UTF-8"
        ) from None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ArtefactError(f"{source}: is not JSON ({error})") from None
    except RecursionError:
        raise ArtefactError(f"{source}: is nested deeper than {MAX_DEPTH} levels") from None
    _check_values(value, source)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} appears twice in one object; which one is meant?")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _check_values(value: Any, source: str) -> None:
    """Reject deep nesting, and what cannot be sent to another process: lone surrogates, integers beyond 64 bits."""
    left: list[tuple[str, int, Any]] = [("", 1, value)]
    while left:
        path, depth, found = left.pop()
        if depth > MAX_DEPTH:
            raise ArtefactError(f"{source}: field {path[:100]}: is nested deeper than {MAX_DEPTH} levels")
        if isinstance(found, dict):
            for key, entry in found.items():
                _check_text(key, f"{path} (a key)", source)
                left.append((f"{path}.{key}" if path else key, depth + 1, entry))
        elif isinstance(found, list):
            left += [(f"{path}.{index}", depth + 1, entry) for index, entry in enumerate(found)]
        elif isinstance(found, str):
            _check_text(found, path, source)
        elif isinstance(found, int) and abs(found) > MAX_INTEGER:
            raise ArtefactError(f"{source}: field {path[:100]}: is beyond {MAX_INTEGER}, the limit of whole numbers")


def _check_text(text: str, path: str, source: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArtefactError(f"{source}: field {path}: {text[:40]!r} holds half a surrogate pair") from None
