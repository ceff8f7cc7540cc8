"""The resources of a process as counted by the kernel: resident memory (PSS, RSS) and CPU seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ResidentBytes:
    """Resident memory in bytes.

    Attributes:
        pss: proportional set size: shared pages are divided among the processes that map them.
        rss: resident set size: shared pages count in full.
        anonymous: the part of ``rss`` not backed by files: heap and stacks, including pages shared with the process
            that this one was forked from. No other process changes it, so changes over time are due to this one.
    """

    pss: int
    rss: int
    anonymous: int


def resident_bytes(pid: int | str = "self") -> ResidentBytes:
    """Memory of a process from ``/proc/<pid>/smaps_rollup``, or from psutil if the kernel does not have it.

    Raises:
        ProcessLookupError: there is no such process.
    """
    values = {"Pss": 0, "Rss": 0, "Anonymous": 0}
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except PermissionError:
        return _from_psutil(pid)
    except FileNotFoundError:
        if not Path("/proc/self/smaps_rollup").exists():
            return _from_psutil(pid)
        raise ProcessLookupError(f"no process {pid}") from None
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in values:
            values[name] = int(rest.split()[0]) * 1024
    return ResidentBytes(values["Pss"], values["Rss"], values["Anonymous"])


def _from_psutil(pid: int | str) -> ResidentBytes:
    import psutil  # noqa: PLC0415  (not needed on Linux)

    try:
        rss = int(psutil.Process(None if pid == "self" else int(pid)).memory_info().rss)
    except psutil.NoSuchProcess:
        raise ProcessLookupError(f"no process {pid}") from None
    return ResidentBytes(rss, rss, rss)


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        # The command name in parentheses may hold spaces: count fields after it.
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            raise ProcessLookupError(f"no process {pid}") from None
        import psutil  # noqa: PLC0415

        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return (int(fields[11]) + int(fields[12])) / _TICKS
