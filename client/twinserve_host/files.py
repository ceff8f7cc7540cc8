"""Atomic writes: a file is written completely or not at all. Devices and pipes are written to in place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: Where a name refers to an open file (``/dev/stdout``), which must not be replaced by renaming.
_OPEN_FILES: Final = ("/dev/", "/proc/")
#: Bytes that a trial writes: a full disk still takes an empty file.
_TRIAL_BYTES: Final = 1 << 16
#: Bytes that the scratch file adds to the name, which must not exceed the file system's 255.
_NAME_BYTES: Final = 200
#: Errors of a disk, or a share of it, that takes no more.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: What helps beside another place, by error.
_HELP: Final = {
    errno.ENOSPC: "make room, or ",
    errno.EDQUOT: "make room, or ",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or ",
    errno.EACCES: "get permission to write there, or ",
    errno.EPERM: "get permission to write there, or ",
}


class FileError(Exception):
    """A file cannot be written; the message names the file, the reason and what to do.

    It ends in "name another place", to which a command may add its option.
    """

    @classmethod
    def of(cls, path: Path, error: OSError) -> FileError:
        """What the system says of ``path``."""
        said = error.strerror or str(error)
        return cls(f"{path}: cannot be written ({said}); {_HELP.get(error.errno or 0, '')}name another place")


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or an open file's alias, next to which no file should be created.

    Raises:
        OSError: it is a folder, or cannot be inspected.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a folder")
    return not stat.S_ISREG(mode) or f"{os.path.realpath(path.parent)}/".startswith(_OPEN_FILES)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file atomically and sync it to disk; text as UTF-8.

    A symbolic link stays one, an existing file keeps its permissions, missing folders are created. A device or a pipe
    is written to directly.

    Raises:
        FileError: it cannot be written; an existing file is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if is_stream(path):
            with path.open("wb") as stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise FileError.of(path, error) from None


def check_writable(path: Path) -> None:
    """Check by trial that :func:`write_file` can write ``path``; leaves nothing behind.

    Raises:
        FileError: it cannot.
    """
    try:
        if is_stream(path):
            # Not opened: a pipe's reader would take the close for the end.
            if stat.S_ISSOCK(path.stat().st_mode) or not os.access(path, os.W_OK):
                raise PermissionError(13, "not a file that can be written to")
            return
        target = Path(os.path.realpath(path))
        missing = [folder for folder in target.parents if not folder.exists()]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _scratch(target, bytes(_TRIAL_BYTES)).unlink()
        finally:
            for folder in missing:
                with contextlib.suppress(OSError):  # someone else may have started to use it
                    folder.rmdir()
    except OSError as error:
        raise FileError.of(path, error) from None


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder, which vanishes with all that is in it.

    Raises:
        FileError: none can be made, or it is full.
    """
    how = "make room there, or name another folder with TMPDIR"
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise FileError(f"no temporary folder can be made ({error.strerror or error}); {how}") from None
    with made as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise FileError(f"temporary folder {folder}: is full ({error.strerror}); {how}") from None


def rescue_file(path: Path, content: bytes | str) -> Path:
    """Write what could not be written to ``path`` to the temporary or home folder instead; returns its path.

    Raises:
        FileError: it cannot be written there either.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{path.stem[:100]}-{stamp}-{secrets.token_hex(8)}{path.suffix}"
    problem: FileError | None = None
    for folder in (tempfile.gettempdir(), os.path.expanduser("~")):
        try:
            write_file(place := Path(folder) / name, content)
        except FileError as error:
            problem = problem or error
        else:
            return place
    assert problem is not None
    raise problem


def _replace(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(target, data)
    try:
        scratch.replace(target)
    except OSError:
        scratch.unlink()
        raise
    with contextlib.suppress(OSError):  # the file is complete; some file systems cannot sync a folder
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _scratch(target: Path, data: bytes) -> Path:
    """A new file next to ``target`` with ``data``, synced, and with the permissions of an existing ``target``."""
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    scratch = target.with_name(f".{name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                before = target.stat()
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
                if os.geteuid() == 0:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        scratch.unlink()
        raise
    return scratch
