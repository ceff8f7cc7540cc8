"""What the replicas of gateways and models tell the supervisor, and what it tells them in return."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from twinserve_server.engine.job import BatchTiming
from twinserve_server.engine.layout import Layout
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.host.memory import ResidentBytes, cpu_seconds, resident_bytes
from twinserve_server.ipc.load_facts import LoadFacts
from twinserve_server.metrics.slab import Series, Slab

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

log = logging.getLogger(__name__)

#: How often every replica reports.
REPORT_SECONDS: Final = 0.5
#: A replica that has not reported for this long has ended.
LOST_SECONDS: Final = 5.0

#: Model and variant.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows of a batch, as ``engine.thread_link`` hands them out."""

    classes: bytes
    probabilities: bytes
    timing: BatchTiming
    errors: Mapping[int, str]
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class Report:
    """How one replica fares.

    Attributes:
        process: its name, which a replica that follows it takes over: ``gateway-0``, ``mnist-int8-1``.
        tag: tells it from those that had its name.
        pid: on its node.
        series: its metrics.
        resident: its memory.
        cpu_seconds: that it has spent.
        ready: whether it serves.
        policies: of a gateway: those in force there, by model.
        key: of a model: which it is.
        index: of a model: its number among its kind.
        facts: of a model: what loading it took.
        ready_at: of a model: when it was loaded, Unix time.
    """

    process: str
    tag: str
    pid: int
    series: Sequence[tuple[Series, Sequence[float]]]
    resident: ResidentBytes
    cpu_seconds: float
    ready: bool
    policies: Mapping[str, TrafficPolicy] = field(default_factory=dict)
    key: Key | None = None
    index: int = 0
    facts: LoadFacts | None = None
    ready_at: float = 0.0

    @property
    def role(self) -> str:
        """As ``AdminService.GetStatus`` names it."""
        return "gateway" if self.key is None else "model"


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the supervisor wants.

    Attributes:
        policies: in force, by model.
        replicas: those ready, by model and variant; None: it does not know yet.
    """

    policies: Mapping[str, TrafficPolicy]
    replicas: Mapping[Key, int] | None


class Reporter:
    """Reports for one replica, for as long as it lives."""

    def __init__(
        self,
        process: str,
        tag: str,
        slab: Slab,
        supervisor: DeploymentHandle,
        say: Callable[[], Mapping[str, Any]],
        told: Callable[[Instructions], Awaitable[None]],
    ) -> None:
        """
        Args:
            process, tag: see :class:`Report`.
            slab: its metrics.
            supervisor: whom to tell.
            say: the rest of a report, by field.
            told: is given what the supervisor wants.
        """
        self._process, self._tag, self._slab = process, tag, slab
        self._supervisor, self._say, self._told = supervisor, say, told
        self._task = asyncio.ensure_future(self._keep_reporting())

    async def _keep_reporting(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOST_SECONDS):
                    await self._told(await self._supervisor.report.remote(self._report()))
            except Exception as error:  # noqa: BLE001  (whatever keeps it from answering: it is started again elsewhere)
                log.warning("the supervisor does not answer: %s", " ".join(str(error).split())[-200:])
            await asyncio.sleep(REPORT_SECONDS)

    def _report(self) -> Report:
        pid = os.getpid()
        known = {"cpu_seconds": cpu_seconds(pid), **self._say()}
        return Report(self._process, self._tag, pid, list(self._slab.values()), resident_bytes(), **known)


class Beat:
    """When replicas were last heard of."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def heard(self, process: str) -> None:
        """It reported."""
        self._heard[process] = time.monotonic()

    def lost(self) -> list[str]:
        """Those that are silent for too long; each is named once."""
        now = time.monotonic()
        lost = [process for process, at in self._heard.items() if now - at > LOST_SECONDS]
        for process in lost:
            del self._heard[process]
        return lost
