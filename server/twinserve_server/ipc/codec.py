"""How the server's processes encode typed values for each other: MessagePack."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

Value = TypeVar("Value")

_LENGTH: Final = struct.Struct("!I")


def encode(value: object) -> bytes:
    """Encode a dataclass, or a structure of dataclasses."""
    return msgspec.msgpack.encode(value, enc_hook=_text)


def decode(data: bytes, kind: type[Value]) -> Value:
    """The inverse of :func:`encode`.

    Raises:
        msgspec.ValidationError: the bytes encode something else.
    """
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_made)


def frame(value: object) -> bytes:
    """``value`` with its length before it, for a stream."""
    data = encode(value)
    return _LENGTH.pack(len(data)) + data


class Frames(Generic[Value]):
    """Splits a stream into the framed values."""

    def __init__(self, kind: Any) -> None:
        """``kind``: of every value; may be a union of messages."""
        self._kind = kind
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[Value]:
        """The values that are complete with ``data``, in order."""
        self._unread += data
        values: list[Value] = []
        while len(self._unread) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._unread)[0]
            if len(self._unread) < end:
                break
            values.append(decode(bytes(self._unread[_LENGTH.size : end]), self._kind))
            del self._unread[:end]
        return values


def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be sent to another process")


def _made(kind: type, value: Any) -> Any:
    return kind(value)
