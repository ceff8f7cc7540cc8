"""Where the kernel keeps the limits of this process's cgroups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's cgroups for ``controller`` ("cpu", "memory"), each with all its parents.

    A container that sees its host's cgroup paths has its own group mounted at the top: missing folders are skipped,
    and the mount point itself is always included.

    Args:
        root: the folder that contains ``proc`` and ``sys``.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    mounts = root / "sys/fs/cgroup"
    groups = {(mounts, PurePosixPath("/")), (mounts / controller, PurePosixPath("/"))}
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path)
        if number == "0" and not controllers:
            groups |= {(mounts, group), (mounts / "unified", group)}
        elif controller in controllers.split(","):
            groups |= {(mounts / controller, group), (mounts / controllers, group)}
    for mount, group in groups:
        # Outside its cgroup namespace a path starts with "..", which would lead out of the mount.
        parts = [part for part in group.parts if part not in ("/", "..")]
        for length in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:length])
