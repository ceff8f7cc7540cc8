"""Connects a server's processes, and answers their questions. No torch, no gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twinserve_server.ipc.messages import (
    ActivateVersion,
    Alive,
    Claim,
    Failed,
    FromGateway,
    FromModel,
    GetStatistics,
    GetStatus,
    Judge,
    ListVersions,
    LoadVersion,
    Message,
    Ready,
    Serving,
    SetTraffic,
    Statistics,
    UnloadVersion,
    WarmingUp,
)
from twinserve_server.ipc.process_config import GatewayConfig
from twinserve_server.metrics.books import Books, Handed
from twinserve_server.metrics.sums import Values
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.census import Census
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.fleet import Fleet
from twinserve_server.supervisor.metrics import supervisor_values
from twinserve_server.supervisor.model_reports import log_report
from twinserve_server.supervisor.plan import Plan
from twinserve_server.supervisor.statistics import variant_statistics
from twinserve_server.supervisor.traffic import Traffic
from twinserve_server.supervisor.version_watch import VersionWatch
from twinserve_server.supervisor.versions import Versions

log = structlog.get_logger()

SAMPLE_SECONDS = 2.0


class Supervisor:
    """One server."""

    def __init__(self, plan: Plan, entrance: Entrance) -> None:
        self.entrance = entrance
        self.fleet = Fleet(plan, self._gateway_config, self._on_message, self._on_end)
        self.traffic = Traffic(self.fleet)
        self.versions = Versions(self.fleet, self.traffic)
        self.census = Census(self.fleet)
        #: The transport that the gateways run, once one has said so.
        self.transport = ""
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def plan(self) -> Plan:
        """What runs."""
        return self.fleet.plan

    @property
    def books(self) -> Books:
        """The metrics of all processes."""
        return self.fleet.books

    async def start(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Start everything; return when all of it is ready.

        Raises:
            ArtefactError: a model cannot be served.
            StartError: another process cannot start.
        """
        tasks = [self.fleet.watch, self._sample, self.traffic.keep_following]
        self._watchers = [asyncio.ensure_future(task()) for task in tasks]
        await self.measure(on_progress)
        assert self.plan.sizing is not None
        for replica in self.plan.replicas():
            if replica.name not in self.fleet.models:
                self.fleet.add_model(replica)
        for index in range(self.plan.sizing.gateways):
            self.fleet.add_gateway(index)
        await self.fleet.until_ready(self.fleet.children, on_progress)
        if self.plan.settings.watch:
            watch = VersionWatch(self.fleet, self.versions)
            self._watchers.append(asyncio.ensure_future(watch.keep_watching()))

    async def measure(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Start one model process per variant and, from their costs per image, decide how many of each to run.

        Raises:
            StartError: a process cannot start.
        """
        for replica in self.plan.replicas():
            self.fleet.add_model(replica)
        await self.fleet.until_ready(self.fleet.children, on_progress)
        self.fleet.plan = self.plan.sized(
            {
                (state.replica.version.model, state.replica.variant): state.cost
                for _, state in self.fleet.models.values()
                if state.cost is not None
            }
        )

    async def stop(self, grace_seconds: float) -> None:
        """Drain the gateways, then end the model processes; those that do not end in time are killed."""
        await self.fleet.stop(grace_seconds)
        for task in self._watchers:
            task.cancel()

    def kill(self) -> None:
        """End every process at once."""
        self.fleet.kill()

    def processes(self) -> str:
        """The running processes, in a few words."""
        return f"{len(self.fleet.gateways)} gateways, {len(self.fleet.models)} model processes"

    def values(self) -> dict[str, Values]:
        """Every family that the supervisor fills in, by name."""
        return supervisor_values(self)

    def _gateway_config(self, index: int, control_fd: int, handed: Handed) -> GatewayConfig:
        traffic = self.traffic
        return self.plan.gateway_config(
            index,
            control_fd,
            handed,
            self.entrance,
            traffic.policies,
            self.versions.lingering,
            traffic.feedback_keys,
        )

    def _on_end(self, child: ChildProcess) -> None:
        self.census.forget(child)

    async def _on_message(self, child: ChildProcess, message: FromGateway | FromModel) -> Message | None:
        match message:
            case Alive(busy_seconds=busy):
                if child.pulse.heard(busy):
                    log.warning("slow_batch", process=child.name, busy_seconds=round(busy, 1))
            case Failed(message=why):
                child.failure = why
                await self.fleet.notify()
            case Ready():
                log_report(child.name, message)
                await self.fleet.ready(child, message)
            case WarmingUp():
                log_report(child.name, message)
            case Serving(transport=transport):
                self.versions.tell(child)
                self.transport = transport
                await self.fleet.ready(child)
            case SetTraffic():
                await self.traffic.change(message)
            case ListVersions():
                return await self.versions.survey()
            case LoadVersion(model=model, version=version):
                await self.versions.load(model, version)
                return await self.versions.survey()
            case ActivateVersion(model=model, version=version, keep_previous=keep, if_active=if_active):
                await self.versions.activate(model, version, keep_previous=keep, if_active=if_active)
                return await self.versions.survey()
            case UnloadVersion(model=model, version=version):
                await self.versions.unload(model, version)
                return await self.versions.survey()
            case GetStatus():
                await self.census.sample()
                return self.census.status()
            case GetStatistics():
                return Statistics(variant_statistics(self.books.slabs))
            case Claim(key=key):
                self.traffic.claims.claim(key)
            case Judge():
                return await self.traffic.judge(child, message)
        return None

    async def _sample(self) -> None:
        while True:
            await self.census.sample()
            self.fleet.log_to.flush()
            await asyncio.sleep(SAMPLE_SECONDS)
