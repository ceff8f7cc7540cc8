"""How many cores this process may use: its affinity, and the CPU quota of the cgroups it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def usable_cores(root: Path = Path("/")) -> int:
    """The cores of the affinity, or fewer where a cgroup's quota allows less (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else min(cores, max(1, -int(-quota // 1)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the process may use, by the tightest limit on the way up its cgroups; None: no limit.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    limits = [limit for folder in _folders(root, lines) for limit in (_v2_limit(folder), _v1_limit(folder)) if limit]
    return min(limits, default=None)


def _folders(root: Path, lines: list[str]) -> Iterator[Path]:
    """The folders of the process's cgroups, each with all above it.

    A container that sees its host's cgroup paths has its own group mounted on top: what is not there is passed over,
    and the mount itself always looked at.
    """
    mounts = root / "sys/fs/cgroup"
    groups = {(mounts, PurePosixPath("/")), (mounts / "cpu", PurePosixPath("/"))}
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path)
        if number == "0" and not controllers:
            groups |= {(mounts, group), (mounts / "unified", group)}
        elif "cpu" in controllers.split(","):
            groups |= {(mounts / "cpu", group), (mounts / controllers, group)}
    for mount, group in groups:
        # Outside of its cgroup namespace a path begins with "..", which would lead out of the mount.
        parts = [part for part in group.parts if part not in ("/", "..")]
        for length in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:length])


def _v2_limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1_limit(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text("ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
