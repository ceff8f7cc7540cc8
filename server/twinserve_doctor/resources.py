"""Cores, memory and shared memory that a server may use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from twinserve_doctor.finding import Finding
from twinserve_host.cores import cpu_quota, usable_cores
from twinserve_host.memory import usable_bytes

MIB: Final = 1 << 20
#: Supervisor plus one gateway, and a model process, as measured (docs/benchmarks.md), rounded up.
BASE_BYTES: Final = 200 * MIB
MODEL_BYTES: Final = 250 * MIB


def cores(root: Path = Path("/")) -> Finding:
    """The cores of the affinity, the quota of the cgroup, and what limits threads.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    usable, quota, machine = usable_cores(root), cpu_quota(root), os.cpu_count() or 1
    facts = {"usable": usable, "machine": machine, "cgroup_quota": quota}
    limit = "no cgroup limit" if quota is None else f"the cgroup allows {quota:g} cores' worth of time"
    found = f"{usable} of {machine} usable, {limit}; one thread in a forward pass unless --threads says more"
    if quota is not None and quota < 1:
        advice = "a quota below one core stops every process for part of each period: give at least 1, or expect a "
        return Finding("cores", "note", found, advice + "p99 of the period's length", facts)
    if usable == 1:
        advice = "gateway, model processes and load generator share it, which affects measured latencies"
        return Finding("cores", "note", found, advice, facts)
    return Finding("cores", "ok", found, facts=facts)


def memory(variants: int, root: Path = Path("/")) -> Finding:
    """Whether the processes of so many variants fit.

    Args:
        variants: served ones; each has a process.
        root: where ``proc`` and ``sys`` lie.
    """
    usable, free = usable_bytes(root), _available(root)
    needed = BASE_BYTES + max(1, variants) * MODEL_BYTES
    facts = {"usable_bytes": usable, "available_bytes": free, "needed_bytes": needed}
    available = "unknown" if free is None else f"{free // MIB:,} MiB"
    found = f"{usable // MIB:,} MiB usable, {available} available; about {needed // MIB:,} MiB needed"
    advice = "serve fewer variants (--variants), stop other programs, or raise the container's limit"
    if usable < needed:
        return Finding("memory", "fault", found, advice, facts)
    if free is not None and free < needed:
        return Finding("memory", "note", found, f"what is available now may not be enough: {advice}", facts)
    return Finding("memory", "ok", found, facts=facts)


# The folder is looked at, not written to.
def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:  # noqa: S108  # nosec B108
    """Whether counters can be shared, and how large ``/dev/shm`` is, which other programs may want."""
    from twinserve_server.metrics.shared_memory import SharedMemoryError, reserve  # noqa: PLC0415

    try:
        os.close(reserve("twinserve-doctor", MIB))
    except SharedMemoryError as error:
        return Finding("shared memory", "fault", error.message, "free some memory, or room in TMPDIR")
    size = shutil.disk_usage(folder).total if folder.is_dir() else None
    own = "a server shares memory by descriptor"
    if size is None:
        return Finding("shared memory", "ok", f"{folder} is missing, but not needed: {own}", facts={"dev_shm": None})
    return Finding(
        "shared memory", "ok", f"{folder} has {size // MIB:,} MiB and is not needed: {own}", facts={"dev_shm": size}
    )


def _available(root: Path) -> int | None:
    """Bytes that the machine could give now; None: it does not tell."""
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
