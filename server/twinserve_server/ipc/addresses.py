"""Where the server's own processes meet: Unix sockets of one user, without a path where the kernel can do that."""

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
    """What all addresses of one server begin with, while it runs.

    On Linux that is a name in the kernel: it takes no room on a disk, nobody can delete it, its length does not depend
    on a folder's, and it goes with the process that listens. Elsewhere it is a folder of this user's.

    Raises:
        OSError: the folder cannot be made.
    """
    if NAMED_IN_KERNEL:
        yield f"\0twinserve-{os.urandom(8).hex()}-"
    else:
        with tempfile.TemporaryDirectory(prefix="twinserve-") as folder:
            yield f"{folder}/"


def address(space: str, name: str) -> str:
    """The address of the process ``name``; as short for long names as for short ones."""
    return space + blake2b(name.encode(), digest_size=8).hexdigest()


def listen(where: str) -> socket.socket:
    """A socket that listens at ``where``, also where a process that was killed listened."""
    if not where.startswith("\0"):
        Path(where).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(where)
    listener.listen(64)
    return listener


def is_ours(sock: socket.socket) -> bool:
    """Whether the other end is a process of this user: a name without a path has no permissions of its own."""
    if not NAMED_IN_KERNEL:
        return True
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.geteuid())
