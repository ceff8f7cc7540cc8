"""The files of a model version: regular files inside its folder, verified by their hashes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from twinserve_server.errors import ArtefactError

if TYPE_CHECKING:
    from twinserve_server.artefact.manifest import Variant

_REBUILD = "build it again with `twinserve models build --force`, or correct the manifest"


@contextmanager
def open_inside(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open ``folder/name`` for reading. A symbolic link may only point to another file in ``folder``.

    Raises:
        ArtefactError: it is missing, not a regular file, outside ``folder``, or cannot be read.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise ArtefactError(f"{path}: is a link to {real}, outside its folder; put the file itself there")
        # A link created from now on is refused, and a pipe does not block.
        with open(os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ArtefactError(f"{path}: is not a regular file")
            yield file
    except FileNotFoundError:
        raise ArtefactError(f"{path}: does not exist") from None
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from None
    except RuntimeError:
        # Python 3.11 and 3.12 raise this for a loop of links.
        raise ArtefactError(f"{path}: cannot be read (a loop of symbolic links)") from None


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file."""
    return os.fstat(file.fileno()).st_size


def read_artefact(variant: Variant) -> bytes:
    """The verified bytes of an artefact: exactly what was hashed is loaded.

    Raises:
        ArtefactError: size or SHA-256 differ from the manifest, or the file cannot be read; says what to do.
    """
    path = Path(variant.path)
    with open_inside(path.parent, path.name) as file:
        if (size := size_of(file)) != variant.bytes:
            raise ArtefactError(f"{path}: is corrupt: {size} bytes, the manifest says {variant.bytes}; {_REBUILD}")
        data = file.read(size)
    if (found := hashlib.sha256(data).hexdigest()) != variant.sha256:
        raise ArtefactError(f"{path}: is corrupt: SHA-256 {found}, the manifest says {variant.sha256}; {_REBUILD}")
    return data
