"""How much memory this process may use: the machine's, and the limits of the cgroups it is in."""

from __future__ import annotations

import os
from pathlib import Path

from twinserve_host.cgroups import cgroup_folders


def usable_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or less where a cgroup limits it.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    limits = [
        limit
        for folder in cgroup_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _limit(folder / name))
    ]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def _limit(path: Path) -> int:
    """The bytes that ``path`` allows; 0: it sets no limit."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0
