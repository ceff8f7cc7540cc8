"""The token file on disk: read completely or not at all, re-read when it changes, rewritten atomically."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twinserve_host.files import FileError
from twinserve_server.access.tokens import (
    HEADER,
    MAX_TOKENS,
    Token,
    TokenError,
    check_name,
    check_roles,
    digest_of,
    new_secret,
    parse_line,
    parse_tokens,
    token_lines,
)

#: Larger than a file with the maximum number of tokens.
MAX_BYTES: Final = 1 << 20
#: Anyone who can write the file can grant access to themselves.
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

#: Identifies a file and its state: differs if the file was replaced or changed.
Stamp = tuple[int, int, int, int]


class TokenFile:
    """The tokens of a file, as they are now."""

    def __init__(self, path: Path, known: tuple[Token, ...] | None = None) -> None:
        """
        Args:
            path: of the file.
            known: in force until the file is read for the first time; None: it is read now.

        Raises:
            TokenError: it is read now and cannot be used.
        """
        self.path = path
        self._read = False
        self._stamp: Stamp | None = None
        self.tokens = known or ()
        if known is None:
            self.refresh()

    def refresh(self) -> bool:
        """Read the file if it has changed; whether it had.

        Raises:
            TokenError: it has changed and cannot be used: the tokens stay what they were. Raised once a change.
        """
        stamp = _stamp(self.path)
        if stamp == self._stamp and self._read:
            return False
        self._stamp, self._read = stamp, True
        self.tokens = parse_tokens(read_text(self.path), str(self.path))
        return True


def read_text(path: Path) -> str:
    """The content of a token file.

    Raises:
        TokenError: it cannot be read, is not text, is too large, or others may write it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TokenError(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise TokenError(f"{path}: is not a regular file")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise TokenError(
            f"{path}: is writable by its group or by everyone ({stat.filemode(status.st_mode)}), who could grant "
            f"themselves access; chmod go-w {path}"
        )
    if len(content) > MAX_BYTES:
        raise TokenError(f"{path}: holds more than {MAX_BYTES} bytes, the most for {MAX_TOKENS} tokens")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise TokenError(f"{path}: is not UTF-8 text") from None


def create_token(path: Path, name: str, roles: list[str]) -> str:
    """Add a token, making the file if there is none; the secret, which is stored nowhere.

    Raises:
        TokenError: name or roles are wrong, there is such a name already, or the file cannot be used or written.
    """
    check_name(name, "NAME")
    checked = check_roles(roles, "--role")
    secret = new_secret()
    with _locked(path):
        text = read_text(path) if path.exists() else HEADER
        if any(token.name == name for token in parse_tokens(text, str(path))):
            raise TokenError(f"{path}: there is a token named {name!r}; choose another name, or revoke that one first")
        text = text if text.endswith("\n") else f"{text}\n"
        text += f"{Token(name, checked, digest_of(secret))}\n"
        parse_tokens(text, str(path))
        _replace(path, text)
    return secret


def revoke_token(path: Path, name: str) -> None:
    """Remove a token; comments and the other tokens stay.

    Raises:
        TokenError: there is none of that name, or the file cannot be used or written.
    """
    with _locked(path):
        text = read_text(path)
        names = [token.name for token in parse_tokens(text, str(path))]
        if name not in names:
            raise TokenError(f"{path}: no token named {name!r}; available: {', '.join(names) or 'none'}")
        lines = text.split("\n")
        gone = {number for number, line in token_lines(text) if parse_line(line, str(path)).name == name}
        kept = "\n".join(line for number, line in enumerate(lines, 1) if number not in gone)
        # An empty file is taken for a half-written one.
        _replace(path, kept if kept.strip() else HEADER)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, also of a file that is replaced: the folder is locked."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise TokenError(f"{path}: its folder cannot be opened ({error.strerror})") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        # On a read-only file system not even this is possible, whether or not the file exists.
        with contextlib.suppress(OSError):
            partial.unlink()
        raise TokenError(str(FileError.of(path, error))) from None
