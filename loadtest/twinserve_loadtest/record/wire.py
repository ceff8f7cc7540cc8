"""Dataclasses as JSON and back: what pydantic does not know by itself, and one adapter a class."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def encode_histogram(histogram: HdrHistogram) -> str:
    """HdrHistogram V2, zlib, base64: any HdrHistogram library reads it."""
    text: bytes = histogram.encode()
    return text.decode("ascii")


def encode_classes(classes: NDArray[np.integer[Any]]) -> str:
    """Class indices (N, below 65,536) as base64 of little-endian uint16."""
    return base64.b64encode(np.asarray(classes).astype("<u2").tobytes()).decode("ascii")


def decode_classes(text: str) -> NDArray[np.uint16]:
    """The inverse of :func:`encode_classes`."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<u2").astype(np.uint16)


def _from_text(decode: Callable[[str], Any]) -> PlainValidator:
    return PlainValidator(lambda value: decode(value) if isinstance(value, str) else value)


def _encode_table(table: NDArray[np.float32]) -> dict[str, Any]:
    return {"columns": table.shape[1], "data": base64.b64encode(table.astype("<f4").tobytes()).decode("ascii")}


def _decode_table(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    data = np.frombuffer(base64.b64decode(value["data"]), "<f4")
    return data.astype(np.float32).reshape(-1, value["columns"])


Histogram = Annotated[HdrHistogram, _from_text(HdrHistogram.decode), PlainSerializer(encode_histogram)]
Classes = Annotated[NDArray[np.uint16], _from_text(decode_classes), PlainSerializer(encode_classes)]
Table = Annotated[NDArray[np.float32], PlainValidator(_decode_table), PlainSerializer(_encode_table)]


def to_plain(value: object) -> Any:
    """A dataclass as dictionaries, lists, strings and numbers."""
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], plain: Any) -> T:
    """The inverse of :func:`to_plain`.

    Raises:
        pydantic.ValidationError: a field is missing or breaks its type.
    """
    value: T = _adapter(kind).validate_python(plain)
    return value


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, as "field a.b: reason"."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "(top level)"
    return f"field {where}: {first['msg']}"


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
