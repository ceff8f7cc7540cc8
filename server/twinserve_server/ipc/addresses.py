"""The Unix sockets between the server's own processes: one user's, and abstract (without a path) if possible."""

from __future__ import annotations

import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

NAMED_IN_KERNEL: Final = sys.platform == "linux"
#: struct ucred: process, user, group.
_CREDENTIALS: Final = struct.Struct("3i")


@contextmanager
def address_space() -> Iterator[str]:
    """The common prefix of all addresses of one running server.

    On Linux these are abstract socket names: they need no disk, cannot be deleted, do not depend on the length of a
    folder's name, and disappear with the listening process. Elsewhere the prefix is a folder of this user.

    Raises:
        OSError: the folder cannot be created.
    """
    if NAMED_IN_KERNEL:
        yield f"\0twinserve-{os.urandom(8).hex()}-"
    else:
        with tempfile.TemporaryDirectory(prefix="twinserve-") as folder:
            yield f"{folder}/"


def address(space: str, name: str) -> str:
    """The address of the process ``name``, of the same length for any name."""
    return space + blake2b(name.encode(), digest_size=8).hexdigest()


def listen(where: str) -> socket.socket:
    """A socket that listens at ``where``, even if a killed process left one there."""
    if not where.startswith("\0"):
        Path(where).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(where)
    listener.listen(64)
    return listener


def is_ours(sock: socket.socket) -> bool:
    """Whether the peer is a process of this user: abstract sockets have no permissions."""
    if not NAMED_IN_KERNEL:
        return True
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.geteuid())
