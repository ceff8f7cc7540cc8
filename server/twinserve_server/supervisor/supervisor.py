"""Spawns the gateways and model processes, watches and restarts them, and holds what they share. No torch, no gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from twinserve_server.errors import ArtefactError
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.messages import (
    ALIVE_SECONDS,
    Alive,
    Claim,
    Drain,
    Failed,
    FromGateway,
    FromModel,
    GetStatistics,
    GetStatus,
    Judge,
    Message,
    Ready,
    Serving,
    SetTraffic,
    Statistics,
    WarmingUp,
)
from twinserve_server.ipc.process_config import GatewayConfig, ModelProcessConfig
from twinserve_server.metrics.books import Books
from twinserve_server.metrics.settlement import settle
from twinserve_server.metrics.sums import Values
from twinserve_server.supervisor.census import Census
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.metrics import supervisor_values
from twinserve_server.supervisor.model_reports import ModelState, log_report
from twinserve_server.supervisor.plan import Plan, Replica
from twinserve_server.supervisor.pulse import Pulse
from twinserve_server.supervisor.runner import StartError
from twinserve_server.supervisor.sizing import Cost
from twinserve_server.supervisor.statistics import variant_statistics
from twinserve_server.supervisor.traffic import Traffic

log = structlog.get_logger()

SAMPLE_SECONDS = 2.0


class Supervisor:
    """One server's processes."""

    def __init__(self, plan: Plan, entrance: Entrance) -> None:
        self.plan = plan
        self.entrance = entrance
        #: Those that take requests.
        self.gateways: list[ChildProcess] = []
        self.traffic = Traffic(plan.versions, plan.policies, self.gateways, plan.settings)
        self.models: dict[str, tuple[ChildProcess, ModelState]] = {}
        self.census = Census(lambda: self.children, self._variant_of)
        #: The transport that the gateways run, once one has said so.
        self.transport = ""
        #: What keeps each child alive.
        self._keepers: dict[ChildProcess, asyncio.Task[None]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self.books = Books()
        #: Where its log, and those of all processes, go.
        self.log_to = protect_standard_error()

    @property
    def children(self) -> list[ChildProcess]:
        """Every process."""
        return [*self.gateways, *(child for child, _ in self.models.values())]

    async def start(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Start everything; return when all of it is ready.

        Raises:
            ArtefactError: a model cannot be served.
            StartError: another process cannot start.
        """
        self._watchers = [
            asyncio.ensure_future(task()) for task in (self._watch, self._sample, self.traffic.keep_following)
        ]
        await self.measure(on_progress)
        assert self.plan.sizing is not None
        for replica in self.plan.replicas():
            if replica.name not in self.models:
                self._add_model(replica)
        for index in range(self.plan.sizing.gateways):
            self._add_gateway(index)
        await self._until_ready(on_progress)

    async def measure(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Start one model process a variant and, from what an image costs each, decide how many of what to run.

        Raises:
            StartError: one cannot start.
        """
        for replica in self.plan.replicas():
            self._add_model(replica)
        await self._until_ready(on_progress)
        self.plan = self.plan.sized(
            {
                (state.replica.model, state.replica.variant): Cost(**state.facts["cost"])
                for _, state in self.models.values()
            }
        )

    async def _until_ready(self, on_progress: Callable[[int, int], None]) -> None:
        for child in self.children:
            if child not in self._keepers:
                self._keepers[child] = asyncio.ensure_future(child.keep_alive())
        async with self._changed:
            while True:
                for child in self.children:
                    if child.failure:
                        # What a model process cannot get over is its artefact.
                        raise (ArtefactError if child.name in self.models else StartError)(child.failure)
                    if child.restarts.total() >= 3:
                        raise StartError(f"{child.name} ends again and again while starting; see the log above")
                ready = sum(child.ready for child in self.children)
                on_progress(ready, len(self.children))
                if ready == len(self.children):
                    return
                await self._changed.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Drain the gateways, then end the model processes; whoever does not end in time is killed."""
        for child in self.children:
            child.expect_end()
        for child in self.gateways:
            if not child.tell(Drain(grace_seconds)):
                child.kill()
        await self._ended(self.gateways, grace_seconds + 2)
        models = [child for child, _ in self.models.values()]
        await asyncio.gather(*(child.hang_up() for child in models))
        await self._ended(models, 5)
        self.kill()
        await self._ended(self.children, 5)
        for task in (*self._watchers, *self._keepers.values()):
            task.cancel()
        self.books.close()

    def kill(self) -> None:
        """End every process at once."""
        for child in self.children:
            child.kill()

    def processes(self) -> str:
        """See :meth:`Runner.processes`."""
        return f"{len(self.gateways)} gateways, {len(self.models)} model processes"

    def values(self) -> dict[str, Values]:
        """See :meth:`Runner.values`."""
        return supervisor_values(self)

    def _add_model(self, replica: Replica) -> None:
        settings, handed = self.plan.settings, self.books.open(replica.name)

        def configure(control_fd: int) -> ModelProcessConfig:
            return self.plan.model_config(replica, control_fd, handed)

        child = ChildProcess(
            replica.name,
            "twinserve_server.model.process",
            configure,
            FromModel,
            self._on_message,
            self._on_end,
            Pulse(settings.hang_seconds, settings.batch_seconds),
            self.log_to,
            handed.all,
        )
        self.models[replica.name] = (child, ModelState(replica))

    def _add_gateway(self, index: int) -> None:
        name, settings = f"gateway-{index}", self.plan.settings
        handed = self.books.open(name, traces=settings.tracing != "off")

        def configure(control_fd: int) -> GatewayConfig:
            return self.plan.gateway_config(
                index, control_fd, handed, self.entrance, self.traffic.policies, self.traffic.feedback_keys
            )

        child = ChildProcess(
            name,
            "twinserve_server.gateway",
            configure,
            FromGateway,
            self._on_message,
            self._on_end,
            Pulse(settings.hang_seconds, 0.0),
            self.log_to,
            handed.all,
        )
        self.gateways.append(child)

    async def _on_message(self, child: ChildProcess, message: FromGateway | FromModel) -> Message | None:
        match message:
            case Alive(busy_seconds=busy):
                if child.pulse.heard(busy):
                    log.warning("slow_batch", process=child.name, busy_seconds=round(busy, 1))
            case Failed(message=why):
                child.failure = why
                await self._notify()
            case Ready(facts=facts):
                _, state = self.models[child.name]
                state.facts, state.ready_at = facts, time.time()
                child.ready = True
                log_report(child.name, message)
                await self._notify()
            case WarmingUp():
                log_report(child.name, message)
            case Serving(transport=transport):
                self.traffic.tell(child)
                self.transport = transport
                child.ready = True
                await self._notify()
            case SetTraffic():
                await self.traffic.change(message)
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

    def _variant_of(self, name: str) -> str:
        state = self.models.get(name)
        return state[1].replica.variant if state else ""

    async def _watch(self) -> None:
        """Replace what is silent, or busy with one batch, for too long."""
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            for child in self.children:
                if child.pid and (reason := child.pulse.tick(ALIVE_SECONDS, ready=child.ready)):
                    child.replace(reason)

    async def _ended(self, children: list[ChildProcess], seconds: float) -> None:
        if keepers := [self._keepers[child] for child in children if child in self._keepers]:
            await asyncio.wait(keepers, timeout=seconds)

    def _on_end(self, child: ChildProcess) -> None:
        self.census.forget(child)
        if child.name not in self.models and (lost := settle(self.books.slab(child.name))):
            log.warning("requests_lost", process=child.name, rpcs=lost)
        asyncio.ensure_future(self._notify())  # noqa: RUF006  (runs at once)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _sample(self) -> None:
        while True:
            await self.census.sample()
            self.log_to.flush()
            await asyncio.sleep(SAMPLE_SECONDS)
