"""The state of every process: memory, CPU time, restarts."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version as package_version
from typing import Final

from twinserve_server.host.memory import ResidentBytes, resident_bytes
from twinserve_server.ipc.messages import ProcessStatus, Status
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.fleet import Fleet

#: Its name in lists of processes.
FORK_SERVER: Final = "fork-server"


class Census:
    """Tracks the processes of a server."""

    def __init__(self, fleet: Fleet) -> None:
        self.resident: dict[str, ResidentBytes] = {}
        self._fleet = fleet
        self._started = time.monotonic()

    async def sample(self) -> None:
        """Read every process's memory now (in a thread: the kernel walks page tables for it)."""
        children = self._fleet.children
        pids = {child.name: child.pid for child in children if child.pid}
        if self._fleet.forks is not None and self._fleet.forks.pid:
            pids[FORK_SERVER] = self._fleet.forks.pid
        self.resident = await asyncio.to_thread(_read, pids)
        for child in children:
            child.cpu_seconds()

    def forget(self, child: ChildProcess) -> None:
        """The process has ended."""
        self.resident.pop(child.name, None)

    def status(self) -> Status:
        """The state of every process."""
        return Status(
            package_version("twinserve"),
            time.monotonic() - self._started,
            [self._status_of(child) for child in self._fleet.children],
        )

    def _status_of(self, child: ChildProcess) -> ProcessStatus:
        _, state = self._fleet.models.get(child.name, (child, None))
        resident = self.resident.get(child.name)
        return ProcessStatus(
            name=child.name,
            role="model" if state else "gateway",
            pid=child.pid,
            ready=child.ready,
            restarts=child.restarts.total(),
            variant=state.replica.variant if state else "",
            model=state.replica.version.model if state else "",
            version=state.replica.version.version if state else "",
            pss_bytes=resident.pss if resident else 0,
            cpu_seconds=child.cpu_seconds(),
        )


def _read(pids: dict[str, int]) -> dict[str, ResidentBytes]:
    found = {}
    for name, pid in pids.items():
        try:
            found[name] = resident_bytes(pid)
        except (ProcessLookupError, OSError):
            continue
    return found
