"""CPU seconds of model processes and gateways: exact where they run on this machine, else from ``/metrics``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinserve_loadtest.record.measurement import Model


#: Stands for the gateways where a variant is named.
GATEWAYS = ""


class CpuClock:
    """Reads how much CPU a variant, or the gateways, have used so far, on all servers.

    Args:
        processes: variant or ``GATEWAYS`` -> ids of the processes, when they all run on this machine.
        metrics_urls: one of each server; asked when a process is not here.
        model: whose variants these are.
    """

    def __init__(self, processes: Mapping[str, Sequence[int]], metrics_urls: Sequence[str], model: Model) -> None:
        self._processes = dict(processes)
        self._metrics_urls = tuple(metrics_urls)
        self._model = model

    def seconds(self, variant: str) -> float | None:
        """CPU seconds since the processes of ``variant`` (or ``GATEWAYS``) started; None when nobody tells."""
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
            pages = [read_metrics(url) for url in self._metrics_urls]
            if variant == GATEWAYS:
                return sum(sum(page.gateway_cpu_seconds().values()) for page in pages)
            told = [page.cpu_seconds(self._model.name, self._model.variants[variant]) for page in pages]
        except (MetricsError, KeyError):
            return None
        return sum(seconds for seconds in told if seconds is not None) if None not in told else None


def spent(before: float | None, after: float | None) -> float | None:
    """Seconds between two readings; None when one is missing or a process was replaced in between."""
    return after - before if before is not None and after is not None and after >= before else None


def _on_cpu(process: int) -> float:
    """Seconds that the threads of a process spent on a CPU, from the scheduler: to the nanosecond.

    /proc/PID/stat counts in ticks of 10 ms, a large part of a short block.
    """
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        nanoseconds += int((thread / "schedstat").read_text("ascii").split()[0])
    return nanoseconds / 1e9
