"""Spawns the gateways and model processes, watches and restarts them, and holds what they share. No torch, no gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from typing import Any

import structlog

from twinserve_server.access.guard import Guard
from twinserve_server.access.tokens import Token
from twinserve_server.engine.router import ShadowPolicy, TrafficPolicy
from twinserve_server.errors import ArtefactError, ConflictError, TwinserveError
from twinserve_server.host.memory import ResidentBytes, resident_bytes
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.control import GATEWAY_SECONDS, ControlLine
from twinserve_server.metrics.books import Books
from twinserve_server.metrics.settlement import settle
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.model_reports import log_report
from twinserve_server.supervisor.plan import Plan, Replica, policy_values
from twinserve_server.supervisor.sizing import Cost
from twinserve_server.transport.certificates import Certificates

log = structlog.get_logger()

SAMPLE_SECONDS = 2.0


class StartError(TwinserveError):
    """The server cannot start; the message says why."""

    reason = "START"


@dataclass(slots=True)
class ModelState:
    """What a model process told when it became ready."""

    replica: Replica
    facts: dict[str, Any] = field(default_factory=dict)
    ready_at: float = 0.0


class Supervisor:
    """One server's processes."""

    def __init__(
        self,
        plan: Plan,
        port: int,
        guard: Guard | None = None,
        certificates: Certificates | None = None,
        admin: tuple[str, int] | None = None,
    ) -> None:
        """
        Args:
            plan: what to run.
            port: of the gateways.
            guard: holds the tokens that a gateway starts with; None: callers need none.
            certificates: those that a gateway starts with; None: gRPC is plain text.
            admin: address and port of admin calls; None: the gateways' port answers them.
        """
        self.plan = plan
        self.guard = guard
        self.certificates = certificates
        self.admin = admin
        self.policies = dict(plan.policies)
        self.models: dict[str, tuple[ChildProcess, ModelState]] = {}
        self.gateways: list[ChildProcess] = []
        self.resident: dict[str, ResidentBytes] = {}
        #: The transport that the gateways run, once one has said so.
        self.transport = ""
        self.started = time.monotonic()
        self._port = port
        self._lines: dict[str, ControlLine] = {}
        #: What keeps each child alive.
        self._keepers: dict[ChildProcess, asyncio.Task[None]] = {}
        self._sampler: asyncio.Task[None] | None = None
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
        await self.measure(on_progress)
        assert self.plan.sizing is not None
        for replica in self.plan.replicas():
            if replica.name not in self.models:
                self._add_model(replica)
        for index in range(self.plan.sizing.gateways):
            self._add_gateway(index)
        await self._until_ready(on_progress)
        self._sampler = asyncio.ensure_future(self._sample())

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
                    if child.restarts >= 3:
                        raise StartError(f"{child.name} ends again and again while starting; see the log above")
                ready = sum(child.ready for child in self.children)
                on_progress(ready, len(self.children))
                if ready == len(self.children):
                    return
                await self._changed.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Drain the gateways, then end the model processes; whoever does not end in time is killed."""
        for child in self.gateways:
            child.expect_end()
            try:
                self._lines[child.name].notify("drain", grace_seconds=grace_seconds)
            except (ConnectionError, KeyError):
                child.kill()
        keepers = self._keepers
        gateways = [keepers[child] for child in self.gateways if child in keepers]
        models = [keepers[child] for child, _ in self.models.values() if child in keepers]
        if gateways:
            await asyncio.wait(gateways, timeout=grace_seconds + 2)
        for child, _ in self.models.values():
            child.request_stop()
        if models:
            await asyncio.wait(models, timeout=5)
        for child in self.children:
            child.kill()
        if keepers:
            await asyncio.wait(keepers.values(), timeout=5)
        for task in filter(None, (*keepers.values(), self._sampler)):
            task.cancel()
        self.books.close()

    async def sample(self) -> None:
        """Read every process's memory now (in a thread: the kernel walks page tables for it)."""
        pids = {child.name: child.pid for child in self.children if child.pid}
        self.resident.update(await asyncio.to_thread(_sample, pids))
        for child in self.children:
            child.cpu_seconds()

    def status(self) -> dict[str, Any]:
        """The state of every process, as ``AdminService.GetStatus`` reports it."""
        processes = []
        for child in self.children:
            state = self.models.get(child.name)
            processes.append(
                {
                    "name": child.name,
                    "role": "model" if state else "gateway",
                    "pid": child.pid,
                    "ready": child.ready,
                    "restarts": child.restarts,
                    "variant": state[1].replica.variant if state else "",
                    "pss_bytes": self.resident[child.name].pss if child.name in self.resident else 0,
                    "cpu_seconds": child.cpu_seconds(),
                }
            )
        return {
            "version": package_version("twinserve"),
            "uptime_seconds": time.monotonic() - self.started,
            "processes": processes,
        }

    async def set_traffic(
        self, model: str, weights: dict[str, float], shadows: list[list[Any]], if_generation: int | None
    ) -> None:
        """Change a policy everywhere before returning.

        Raises:
            InvalidInputError: the policy is not one.
            ConflictError: the policy has another generation than the caller expects.
        """
        current = self.policies[model]
        if if_generation is not None and if_generation != current.generation:
            raise ConflictError(
                f"if_generation: is {if_generation}, but the policy has generation {current.generation} by now"
            )
        policy = TrafficPolicy.checked(
            set(self.plan.versions[model].variants),
            weights,
            tuple(ShadowPolicy(name, share) for name, share in shadows),
            current.generation + 1,
        )
        self.policies[model] = policy
        values = policy_values(policy)
        log.info("traffic_changed", model=model, **values)
        await asyncio.gather(
            *(line.call("set_policy", model=model, policy=values) for line in self._lines.values()),
            return_exceptions=True,
        )

    def _add_model(self, replica: Replica) -> None:
        state, handed = ModelState(replica), self.books.open(replica.name)

        def configure(control_fd: int) -> Any:
            return self.plan.model_config(replica, control_fd, handed)

        async def serve(child: ChildProcess, sock: socket.socket) -> None:
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            while line := await reader.readline():
                message = json.loads(line)
                log_report(child.name, message)
                if message["event"] == "ready":
                    state.facts, state.ready_at = message["facts"], time.time()
                    child.ready = True
                elif message["event"] == "failed":
                    child.failure = message["message"]
                await self._notify()
            writer.close()

        child = ChildProcess(
            replica.name, "twinserve_server.model.process", configure, serve, self._on_end, self.log_to, handed.all
        )
        self.models[replica.name] = (child, state)

    def _add_gateway(self, index: int) -> None:
        name = f"gateway-{index}"
        handed = self.books.open(name, traces=self.plan.settings.tracing != "off")

        def configure(control_fd: int) -> Any:
            tokens: tuple[Token, ...] = ()
            if self.guard is not None:
                self.guard.refresh()
                tokens = self.guard.tokens
            pem = None
            if self.certificates is not None:
                self.certificates.refresh()
                pem = self.certificates.pem
            return self.plan.gateway_config(
                index, control_fd, handed, self._port, self.policies, tokens, pem, self.admin
            )

        async def serve(child: ChildProcess, sock: socket.socket) -> None:
            async def handle(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
                return await self._on_gateway(child, method, params)

            line = self._lines[child.name] = ControlLine(handle, GATEWAY_SECONDS)
            await line.serve(sock)
            self._lines.pop(child.name, None)

        child = ChildProcess(name, "twinserve_server.gateway", configure, serve, self._on_end, self.log_to, handed.all)
        self.gateways.append(child)

    async def _on_gateway(self, child: ChildProcess, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "serving":
            # What changed since this gateway was configured has passed it by.
            for model, policy in self.policies.items():
                self._lines[child.name].notify("set_policy", model=model, policy=policy_values(policy))
            self.transport = params["transport"]
            child.ready = True
            await self._notify()
        elif method == "failed":
            child.failure = params["message"]
            await self._notify()
        elif method == "set_traffic":
            await self.set_traffic(**params)
        elif method == "get_status":
            await self.sample()
            return self.status()
        elif method == "judge":
            for name, line in list(self._lines.items()):
                if name == child.name:
                    continue
                # One that has just ended, or hangs, keeps nobody from asking the next.
                with contextlib.suppress(ConnectionError, TimeoutError):
                    if found := await line.call("judge", **params):
                        return found
        return None

    def _on_end(self, child: ChildProcess) -> None:
        self.resident.pop(child.name, None)
        if child.name not in self.models and (lost := settle(self.books.slab(child.name))):
            log.warning("requests_lost", process=child.name, rpcs=lost)
        asyncio.ensure_future(self._notify())  # noqa: RUF006  (runs at once)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _sample(self) -> None:
        while True:
            await self.sample()
            self.log_to.flush()
            await asyncio.sleep(SAMPLE_SECONDS)


def _sample(pids: dict[str, int]) -> dict[str, ResidentBytes]:
    found = {}
    for name, pid in pids.items():
        try:
            found[name] = resident_bytes(pid)
        except (ProcessLookupError, OSError):
            continue
    return found
