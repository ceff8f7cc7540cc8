"""Places that take no files: a disk that is full, a folder that may not be written to. For this process only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: linux/capability.h: what lets root write where permissions do not (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
_VERSION_3: Final = 0x20080522
_OVERRIDES: Final = 1 << 1 | 1 << 2


class _Capabilities(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file grows beyond ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def no_permission(folder: Path) -> Iterator[None]:
    """Nothing can be made, renamed or removed in ``folder`` and those inside it."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        with _as_anybody():
            yield
    finally:
        for path in folders:
            path.chmod(0o755)


@contextlib.contextmanager
def _as_anybody() -> Iterator[None]:
    """Without what makes root special, in this thread."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (_Capabilities * 2)()
    assert libc.capget(header, held) == 0
    before = held[0].effective
    held[0].effective = before & ~_OVERRIDES
    assert libc.capset(header, held) == 0
    try:
        yield
    finally:
        held[0].effective = before
        assert libc.capset(header, held) == 0
