"""How much memory this process may use: the machine's, and the limits of its cgroups."""

from __future__ import annotations

import os
from pathlib import Path

from twinserve_host.cgroups import cgroup_folders


def usable_bytes(root: Path = Path("/")) -> int:
    """The machine's memory in bytes, or less if a cgroup limits it.

    Args:
        root: the folder that contains ``proc`` and ``sys``.
    """
    limits = [
        limit
        for folder in cgroup_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _limit(folder / name))
    ]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def _limit(path: Path) -> int:
    """The limit in ``path``, in bytes; 0 for no limit."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0
