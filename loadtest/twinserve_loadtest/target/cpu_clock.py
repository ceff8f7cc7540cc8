"""CPU seconds of a variant's model processes: exact where they run on this machine, else from ``/metrics``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CpuClock:
    """Reads how much CPU a variant has used so far, on all servers.

    Args:
        processes: variant -> ids of its model processes, when they all run on this machine.
        metrics_urls: one of each server; asked when a process is not here.
        model: whose variants these are.
    """

    def __init__(self, processes: Mapping[str, Sequence[int]], metrics_urls: Sequence[str], model: str) -> None:
        self._processes = dict(processes)
        self._metrics_urls = tuple(metrics_urls)
        self._model = model

    def seconds(self, variant: str) -> float | None:
        """CPU seconds since the processes started; None when nobody tells."""
        ids = self._processes.get(variant)
        if ids:
            try:
                return sum(_on_cpu(process) for process in ids)
            except OSError:
                # Restarted or never here: from now on the server is asked.
                del self._processes[variant]
        if not self._metrics_urls:
            return None
        try:
            return sum(read_metrics(url).cpu_seconds(self._model)[variant] for url in self._metrics_urls)
        except (MetricsError, KeyError):
            return None


def _on_cpu(process: int) -> float:
    """Seconds that the threads of a process spent on a CPU, from the scheduler: to the nanosecond.

    /proc/PID/stat counts in ticks of 10 ms, a large part of a short block.
    """
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
    return nanoseconds / 1e9
