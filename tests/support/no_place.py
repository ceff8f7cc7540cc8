"""Places that take no files: a disk that is full, a folder that may not be written to. For this process only.

``full_disk`` and ``no_permission`` need nothing; ``small_disk`` and ``read_only`` are real file systems, which root
mounts for the calling thread alone.
"""

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
#: sched.h and linux/mount.h.
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


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
def read_only(folder: Path) -> Iterator[None]:
    """``folder`` is mounted read-only."""
    with _own_mounts():
        _mount(folder, folder, None, _MS_BIND)
        _mount(None, folder, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
        yield


@contextlib.contextmanager
def small_disk(folder: Path, free: int) -> Iterator[None]:
    """``folder`` is a disk of its own, with the same content and ``free`` bytes of space, in whole pages."""
    content = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with _own_mounts():
        _mount(None, folder, "tmpfs", 0)
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        held = os.statvfs(folder)
        used = (held.f_blocks - held.f_bfree) * held.f_frsize
        _mount(None, folder, "tmpfs", _MS_REMOUNT, f"size={used + free}")
        yield


@contextlib.contextmanager
def _own_mounts() -> Iterator[None]:
    """What is mounted meanwhile, this thread sees alone, with the processes that it starts."""
    libc, here = ctypes.CDLL(None, use_errno=True), Path.cwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    try:
        _done(libc.unshare(_CLONE_NEWNS))
        _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
        try:
            yield
        finally:
            # Threads that were started meanwhile share this one's root, with which it could not leave.
            _done(libc.unshare(_CLONE_FS))
            _done(libc.setns(before, _CLONE_NEWNS))
            os.chdir(here)
    finally:
        os.close(before)


def _mount(source: Path | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    given = [None if one is None else str(one).encode() for one in (source or kind, target, kind)]
    libc = ctypes.CDLL(None, use_errno=True)
    _done(libc.mount(*given, ctypes.c_ulong(flags), None if data is None else data.encode()))


def _done(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


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
