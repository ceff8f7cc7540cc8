"""The C heap of this process. Only glibc can be told; elsewhere both functions do nothing."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

#: Blocks up to this size come from the heap, and this much may stay free at its end. By default, glibc may return the
#: memory of a large activation to the kernel after every forward pass and fault it in again for the next, depending on
#: what ran before: FP32 at batch 64 then runs at one of two speeds, a third apart.
KEPT_BYTES: Final = 32 << 20

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """Let the memory of activations be used again without the kernel."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * KEPT_BYTES)


def return_freed_memory() -> None:
    """Give the kernel what lies free now, so that resident memory is what is in use."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
