"""The interface of what runs a plan: a supervisor with its processes or, in the edge profile, a single process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twinserve_server.errors import TwinserveError
from twinserve_server.metrics.books import Books
from twinserve_server.metrics.sums import Values
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.plan import Plan
from twinserve_server.supervisor.traffic import Traffic


class StartError(TwinserveError):
    """The server cannot start; the message says why."""

    reason = "START"


class Runner(Protocol):
    """Runs a plan."""

    entrance: Entrance
    traffic: Traffic
    #: The transport in use, once there is one.
    transport: str

    @property
    def plan(self) -> Plan:
        """What is served now."""

    @property
    def books(self) -> Books:
        """The metrics of all processes."""

    async def start(self, on_progress: Callable[[int, int], None] = ...) -> None:
        """Start everything; return when all of it is ready.

        Raises:
            ArtefactError: a model cannot be served.
            StartError: something else cannot start.
        """

    async def stop(self, grace_seconds: float) -> None:
        """Finish accepted requests within ``grace_seconds``, then end everything."""

    def kill(self) -> None:
        """End everything at once."""

    def processes(self) -> str:
        """The running processes, in a few words."""

    def values(self) -> dict[str, Values]:
        """Every family that the supervisor fills in, by name."""
