"""The one form in which our own processes hand typed values to each other: MessagePack of dataclasses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")


def encode(value: object) -> bytes:
    """A dataclass, or what is made of them, as bytes."""
    return msgspec.msgpack.encode(value, enc_hook=_text)


def decode(data: bytes, kind: type[Value]) -> Value:
    """The inverse of :func:`encode`.

    Raises:
        msgspec.ValidationError: the bytes are those of something else.
    """
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_made)


def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be sent to another process")


def _made(kind: type, value: Any) -> Any:
    return kind(value)
