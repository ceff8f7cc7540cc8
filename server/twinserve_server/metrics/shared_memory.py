"""Memory shared through a descriptor: it has no path, so nobody can delete it, and it cannot fill a disk."""

from __future__ import annotations

import os
import tempfile
from typing import Final

from twinserve_server.errors import TwinserveError

#: Used to fill a file if the kernel cannot reserve space for it.
_CHUNK: Final = bytes(1 << 20)


class SharedMemoryError(TwinserveError):
    """There is no room for the shared memory; the message says where."""

    reason = "SHARED_MEMORY"


def reserve(name: str, size: int) -> int:
    """A descriptor of ``size`` zeros that may be mapped, here and by who inherits it.

    On Linux they are memory, taken page by page as it is written. Elsewhere they are a file that has no name, and all
    its room on the disk: a mapped page for which there is none would end the process with SIGBUS.

    Raises:
        SharedMemoryError: there is no room.
    """
    if hasattr(os, "memfd_create"):
        try:
            descriptor = os.memfd_create(name)
            os.truncate(descriptor, size)
        except OSError as error:
            raise SharedMemoryError(f"{name}: no memory for {size} bytes ({error.strerror})") from None
        return descriptor
    try:
        with tempfile.TemporaryFile() as file:
            for start in range(0, size, len(_CHUNK)):
                file.write(_CHUNK[: size - start])
            file.flush()
            return os.dup(file.fileno())
    except OSError as error:
        folder = tempfile.gettempdir()
        raise SharedMemoryError(
            f"{folder}: no room for {size} bytes ({error.strerror}); free some, or set TMPDIR to another folder"
        ) from None
