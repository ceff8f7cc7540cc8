"""Runs a plan in this process: the gateway on the event loop, the models in a thread, each scrape in its own thread.

The gateway is the same as in the isolated profile, connected to a supervisor by a control line; here the supervisor is
:class:`Edge`, on the same loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version as package_version
from typing import Any

from twinserve_server.edge.metrics import edge_values
from twinserve_server.edge.watchdog import Watchdog
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.links import pump_at
from twinserve_server.engine.thread_link import ThreadLink
from twinserve_server.errors import PreconditionError
from twinserve_server.gateway import Gateway
from twinserve_server.host.memory import cpu_seconds, resident_bytes
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.control import CHILD_SECONDS, ControlLine
from twinserve_server.ipc.messages import (
    ActivateVersion,
    Alive,
    Claim,
    Drain,
    Failed,
    FromGateway,
    GetStatistics,
    GetStatus,
    Judge,
    ListVersions,
    LoadVersion,
    Message,
    ProcessStatus,
    Ready,
    Serving,
    SetTraffic,
    Statistics,
    Status,
    UnloadVersion,
    WarmingUp,
)
from twinserve_server.metrics.books import Books
from twinserve_server.metrics.sums import Values
from twinserve_server.model.thread import ModelThread, ThreadModel
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.model_reports import ModelState, log_report
from twinserve_server.supervisor.plan import Plan, Replica
from twinserve_server.supervisor.runner import StartError
from twinserve_server.supervisor.statistics import variant_statistics
from twinserve_server.supervisor.traffic import Traffic

log = structlog.get_logger()

GATEWAY = "gateway-0"
#: Seconds beyond the grace period in which the gateway and the models must end.
END_SECONDS = 2.0


class Edge:
    """One server in one process."""

    def __init__(self, plan: Plan, entrance: Entrance) -> None:
        self.plan = plan.in_one_process()
        self.entrance = entrance
        self.books = Books()
        self.transport = ""
        #: By name of the replica.
        self.models: dict[str, tuple[ThreadModel, ModelState]] = {}
        #: To the gateway, once it runs.
        self.line: ControlLine | None = None
        #: Those that follow the traffic policies: a line to the only gateway.
        self.gateways = [self]
        self.traffic = Traffic(self)
        self._thread = ModelThread()
        self._watchdog = Watchdog(plan.settings, self._thread)
        self._started = time.monotonic()
        self._serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._killed = asyncio.Event()
        self._gateway: asyncio.Task[int] | None = None
        self._stopping = False
        self._following: asyncio.Future[None] | None = None

    async def start(self, on_progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Load the models, then start the gateway; returns when both are ready.

        Raises:
            ArtefactError: a model cannot be served.
            StartError: the gateway cannot start.
        """
        self._watchdog.start()
        self._following = asyncio.ensure_future(self.traffic.keep_following())
        replicas = list(self.plan.replicas())
        for done, replica in enumerate(replicas):
            on_progress(done, len(replicas) + 1)
            await self._load(replica)
        on_progress(len(replicas), len(replicas) + 1)
        ours, theirs = socket.socketpair()
        self.line = ControlLine(FromGateway, self._on_message, CHILD_SECONDS)
        reading = asyncio.ensure_future(self.line.serve(ours))
        handed = self.books.open(GATEWAY, traces=self.plan.settings.tracing != "off")
        config = self.plan.gateway_config(
            0, -1, handed, self.entrance, self.traffic.policies, [], self.traffic.feedback_keys
        )
        gateway = Gateway(config, protect_standard_error(), self)
        self._gateway = asyncio.ensure_future(gateway.run(theirs))
        # The line ends with the gateway, after its last messages.
        waiting: set[asyncio.Future[Any]] = {self._serving, reading}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._serving.done():
            await self._gateway
        await self._serving
        self._gateway.add_done_callback(self._on_end)
        self._watchdog.ready = True

    async def stop(self, grace_seconds: float) -> None:
        """Drain the gateway, then end the models' thread."""
        self._stopping = True
        if self._following is not None:
            self._following.cancel()
        if self._gateway is not None:
            self.tell(Drain(grace_seconds))
            killed = asyncio.ensure_future(self._killed.wait())
            await asyncio.wait(
                {self._gateway, killed}, timeout=grace_seconds + END_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            killed.cancel()
            self._gateway.cancel()
        self._thread.end()
        if not self._killed.is_set():
            await asyncio.to_thread(self._thread.join, END_SECONDS)
        self.books.close()

    def kill(self) -> None:
        """End the process at once."""
        self._killed.set()

    def processes(self) -> str:
        """The running processes, in a few words."""
        return "1 process"

    def values(self) -> dict[str, Values]:
        """Every family that the supervisor fills in, by name."""
        return edge_values(self)

    def tell(self, message: Message) -> bool:
        """Tell the gateway; whether there is one."""
        try:
            if self.line is None:
                return False
            self.line.notify(message)
        except ConnectionError:
            return False
        return True

    def connect(self, channel: ModelChannel, replica: int, path: str) -> None:  # noqa: ARG002  (there is one replica)
        """Connect ``channel`` to its model, which is in this process and ready."""
        channel.on_held_back = partial(pump_at, channel)
        model, _ = self.models[self.plan.replica(channel.model, channel.name, replica).name]
        channel.add(ThreadLink(channel, model.run))

    def disconnect(self, channel: ModelChannel) -> None:
        """Nothing: this process serves the same models until it ends."""

    def close(self) -> None:
        """Nothing: links to a thread need no closing."""

    async def _load(self, replica: Replica) -> None:
        config = self.plan.model_config(replica, -1, self.books.open(replica.name))
        loop = asyncio.get_running_loop()

        def on_progress(done: int, sizes: int) -> None:
            loop.call_soon_threadsafe(log_report, replica.name, WarmingUp(done, sizes))

        model = await self._thread.call(lambda: ThreadModel(self._thread, config, on_progress))
        log_report(replica.name, Ready(model.facts))
        self.models[replica.name] = (model, ModelState(replica, model.facts, time.time()))

    async def _on_message(self, message: FromGateway) -> Message | None:
        match message:
            case Alive():
                self._watchdog.heard()
            case Failed(message=why):
                self._serving.set_exception(StartError(why))
            case Serving(transport=transport):
                self.transport = transport
                self._serving.set_result(None)
            case SetTraffic():
                await self.traffic.change(message)
            case ListVersions() | LoadVersion() | ActivateVersion() | UnloadVersion():
                raise PreconditionError(
                    "versions: a server in the edge profile serves those it started with; restart it to serve others, "
                    "or use --profile isolated to load them while it runs"
                )
            case GetStatus():
                return await asyncio.to_thread(self._status)
            case GetStatistics():
                return Statistics(variant_statistics(self.books.slabs))
            case Claim(key=key):
                self.traffic.claims.claim(key)
            case Judge():
                return await self.traffic.judge(self, message)
        return None

    def _on_end(self, gateway: asyncio.Task[int]) -> None:
        if not self._stopping:
            error = None if gateway.cancelled() else gateway.exception()
            log.error("gateway_ended", exit_code=1, exc_info=error)
            protect_standard_error().finish()
            os._exit(1)

    def _status(self) -> Status:
        models = [
            ProcessStatus(
                name=name,
                role="model",
                pid=os.getpid(),
                ready=True,
                restarts=0,
                variant=state.replica.variant,
                model=state.replica.version.model,
                version=state.replica.version.version,
                # A warm-up may free more memory than the model takes.
                pss_bytes=max(0, model.facts.added_warm_up_bytes),
                cpu_seconds=model.cpu_seconds,
            )
            for name, (model, state) in self.models.items()
        ]
        rest = ProcessStatus(
            name=GATEWAY,
            role="gateway",
            pid=os.getpid(),
            ready=self._serving.done(),
            restarts=0,
            variant="",
            model="",
            version="",
            pss_bytes=resident_bytes().pss - sum(model.pss_bytes for model in models),
            cpu_seconds=cpu_seconds(os.getpid()) - sum(model.cpu_seconds for model in models),
        )
        return Status(package_version("twinserve"), time.monotonic() - self._started, [rest, *models])
