"""The size of a call's metadata: gRPC core bounds what is sent, and a byte that is sent can stand for any field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc

#: What RFC 9113 (section 6.5.2) adds for each field.
FIELD_BYTES: Final = 32

Refusal = tuple[grpc.StatusCode, str]


def refusal_of(metadata: Iterable[tuple[str, str | bytes]], limit: int) -> Refusal | None:
    """Why a call is refused whose metadata are larger than ``limit`` bytes; None: they are not."""
    size = 0
    for key, value in metadata:
        size += len(key) + len(value) + FIELD_BYTES
    if size <= limit:
        return None
    return (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"the metadata of the call are {size} bytes in all, the limit of this server is {limit} (--max-metadata-kib); "
        "send less",
    )
