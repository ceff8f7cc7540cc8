"""How many cores this process may use: its affinity, and the CPU quota of its cgroups."""

from __future__ import annotations

import os
from pathlib import Path

from twinserve_host.cgroups import cgroup_folders


def usable_cores(root: Path = Path("/")) -> int:
    """The number of cores in the affinity mask, or fewer if a cgroup's quota (rounded up) allows less."""
    cores, quota = affinity_cores(), cpu_quota(root)
    return cores if quota is None else min(cores, max(1, -int(-quota // 1)))


def affinity_cores() -> int:
    """The number of cores in the affinity mask; all cores where the kernel has none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPU time in cores that the process may use, by the tightest limit in its cgroups' hierarchy; None if unlimited.

    Args:
        root: the folder that contains ``proc`` and ``sys``.
    """
    folders = cgroup_folders(root, "cpu")
    limits = [limit for folder in folders for limit in (_v2_limit(folder), _v1_limit(folder)) if limit]
    return min(limits, default=None)


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
