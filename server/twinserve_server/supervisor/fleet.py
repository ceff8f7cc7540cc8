"""The processes of a server: starts, watches and ends them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twinserve_server.errors import ArtefactError
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.messages import ALIVE_SECONDS, Drain, FromGateway, FromModel, Message, Ready
from twinserve_server.ipc.process_config import GatewayConfig
from twinserve_server.metrics.books import Books, Handed
from twinserve_server.metrics.settlement import settle
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.forks import fork_server
from twinserve_server.supervisor.launch import Launch, runs
from twinserve_server.supervisor.model_reports import ModelState
from twinserve_server.supervisor.plan import Plan, Replica
from twinserve_server.supervisor.pulse import Pulse
from twinserve_server.supervisor.runner import StartError

log = structlog.get_logger()

#: A process that ends this often during the server's start is given up.
START_ATTEMPTS = 3


#: From the control descriptor and the memory of a gateway to its current configuration.
ConfigureGateway = Callable[[int, int, Handed], GatewayConfig]


class Fleet:
    """One server's processes.

    Attributes:
        plan: what they run.
        gateways: those that take requests.
        models: those that run models, by name.
        books: their metrics.
        forks: model processes are forked from it; None: this system cannot.
        log_to: receives its log and those of all processes.
    """

    def __init__(
        self,
        plan: Plan,
        configure_gateway: ConfigureGateway,
        on_message: Callable[[ChildProcess, Any], Awaitable[Message | None]],
        on_end: Callable[[ChildProcess], None],
    ) -> None:
        """
        Args:
            plan: what to run.
            configure_gateway: makes the configuration of a gateway that starts.
            on_message: called with each message of a process.
            on_end: called when a process has ended, planned or not.
        """
        self.plan = plan
        self.gateways: list[ChildProcess] = []
        self.models: dict[str, tuple[ChildProcess, ModelState]] = {}
        self.books = Books()
        self.log_to = protect_standard_error()
        self.forks = fork_server((replica.runtime for replica in plan.replicas() if replica.forked), self.log_to)
        self._configure_gateway = configure_gateway
        self._on_message = on_message
        self._told_of_end = on_end
        #: What keeps each child alive.
        self._keepers: dict[ChildProcess, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()

    @property
    def children(self) -> list[ChildProcess]:
        """Every process."""
        return [*self.gateways, *(child for child, _ in self.models.values())]

    def add_model(self, replica: Replica) -> ChildProcess:
        """A model process; started by :meth:`until_ready`.

        Raises:
            SharedMemoryError: there is no room for its metrics.
        """
        settings, handed = self.plan.settings, self.books.open(replica.name)
        child = ChildProcess(
            replica.name,
            self._launch_of(replica),
            lambda control_fd: self.plan.model_config(replica, control_fd, handed),
            FromModel,
            self._on_message,
            self._on_end,
            Pulse(settings.hang_seconds, settings.batch_seconds),
            self.log_to,
            handed.all,
        )
        self.models[replica.name] = (child, ModelState(replica))
        return child

    def add_gateway(self, index: int) -> None:
        """A gateway; started by :meth:`until_ready`.

        Raises:
            SharedMemoryError: there is no room for its metrics.
        """
        name, settings = f"gateway-{index}", self.plan.settings
        handed = self.books.open(name, traces=settings.tracing != "off")
        child = ChildProcess(
            name,
            runs("twinserve_server.gateway", self.log_to),
            lambda control_fd: self._configure_gateway(index, control_fd, handed),
            FromGateway,
            self._on_message,
            self._on_end,
            Pulse(settings.hang_seconds, 0.0),
            self.log_to,
            handed.all,
        )
        self.gateways.append(child)

    async def until_ready(
        self,
        children: Iterable[ChildProcess],
        on_progress: Callable[[int, int], None] = lambda *_: None,
        attempts: int = START_ATTEMPTS,
    ) -> None:
        """Start those of ``children`` that do not run; return when all are ready.

        Args:
            children: processes of this fleet.
            on_progress: called with how many of how many are ready.
            attempts: how often a process may end before it is given up.

        Raises:
            ArtefactError: a model process cannot serve its artefact.
            StartError: another process cannot start, or one keeps ending.
        """
        children = list(children)
        for child in children:
            if child not in self._keepers:
                self._keepers[child] = asyncio.ensure_future(child.keep_alive())
        async with self._changed:
            while True:
                for child in children:
                    if child.failure:
                        # If a model process cannot start, its artefact is the reason.
                        raise (ArtefactError if child.name in self.models else StartError)(child.failure)
                    if child.restarts.total() >= attempts:
                        raise StartError(_gave_up(child))
                ready = sum(child.ready for child in children)
                on_progress(ready, len(children))
                if ready == len(children):
                    return
                await self._changed.wait()

    async def end_models(self, children: Iterable[ChildProcess], seconds: float = 5.0) -> None:
        """End model processes once they have finished their requests; after ``seconds`` they are killed."""
        children = list(children)
        await asyncio.gather(*(child.hang_up() for child in children))
        await self.ended(children, seconds)
        for child in children:
            child.kill()
        await self.ended(children, 5)
        for child in children:
            self._keepers.pop(child, None)
            self.models.pop(child.name, None)

    async def stop(self, grace_seconds: float) -> None:
        """Drain the gateways, then end the model processes; those that do not end in time are killed."""
        for child in self.children:
            child.expect_end()
        for child in self.gateways:
            if not child.tell(Drain(grace_seconds)):
                child.kill()
        await self.ended(self.gateways, grace_seconds + 2)
        models = [child for child, _ in self.models.values()]
        await asyncio.gather(*(child.hang_up() for child in models))
        await self.ended(models, 5)
        self.kill()
        await self.ended(self.children, 5)
        for task in self._keepers.values():
            task.cancel()
        if self.forks is not None:
            await self.forks.end()
        self.books.close()

    def kill(self) -> None:
        """End every process at once."""
        for child in self.children:
            child.kill()

    async def watch(self) -> None:
        """Keep replacing processes that miss heartbeats, or take too long for one batch."""
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            for child in self.children:
                if child.pid and (reason := child.pulse.tick(ALIVE_SECONDS, ready=child.ready)):
                    child.replace(reason)

    async def ready(self, child: ChildProcess, report: Ready | None = None) -> None:
        """A process said that it is ready; a model process also what it found."""
        if report is not None:
            _, state = self.models[child.name]
            state.facts, state.cost, state.ready_at = report.facts, report.cost, time.time()
        child.ready = True
        await self.notify()

    async def notify(self) -> None:
        """Something about a process has changed."""
        async with self._changed:
            self._changed.notify_all()

    async def ended(self, children: Iterable[ChildProcess], seconds: float) -> None:
        """Wait until all of ``children`` have ended, ``seconds`` at most."""
        if keepers := [self._keepers[child] for child in children if child in self._keepers]:
            await asyncio.wait(keepers, timeout=seconds)

    def _launch_of(self, replica: Replica) -> Launch:
        if self.forks is not None and replica.forked:
            return self.forks.launch
        return runs("twinserve_server.model.process", self.log_to)

    def _on_end(self, child: ChildProcess) -> None:
        self._told_of_end(child)
        if child in self.gateways and (lost := settle(self.books.slab(child.name))):
            log.warning("requests_lost", process=child.name, rpcs=lost)
        asyncio.ensure_future(self.notify())  # noqa: RUF006  (runs at once)


def _gave_up(child: ChildProcess) -> str:
    if child.exit_code is not None and child.exit_code < 0:
        why = f"was ended by {signal.Signals(-child.exit_code).name}"
        if child.exit_code == -signal.SIGKILL:
            why += "; is there enough memory for it?"
    else:
        why = f"ended with exit code {child.exit_code}"
    if child.restarts.total() > 1:
        return f"{child.name} keeps ending while starting; the last time it {why}; see the log above"
    return f"{child.name} {why} while it started; the server's log has the cause"
