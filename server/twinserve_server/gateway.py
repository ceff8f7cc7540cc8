"""A gateway process: takes requests from the wire to the queues of their variants and back. No torch.

Started by the supervisor as ``python -m twinserve_server.gateway``; configuration and control line as in
``process_config.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from twinserve.inference import open_inference_pb2
from twinserve.v1 import admin_pb2, predict_pb2
from twinserve_server.access.guard import Guard
from twinserve_server.access.token_file import TokenFile
from twinserve_server.access.tokens import ADMIN as ADMIN_ROLE
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.amount import Amount
from twinserve_server.engine.batch_queue import BatchPolicy
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.engine.links import Links, ModelLinks
from twinserve_server.engine.receipts import Receipts
from twinserve_server.errors import TwinserveError
from twinserve_server.host.relief import give_back_after_rushes
from twinserve_server.host.standard_error import StandardError
from twinserve_server.ipc.addresses import is_ours
from twinserve_server.ipc.control import SUPERVISOR_SECONDS, ControlLine
from twinserve_server.ipc.messages import (
    ALIVE_SECONDS,
    Alive,
    Claim,
    Done,
    Drain,
    Failed,
    Judge,
    Judged,
    KeepMetrics,
    Message,
    Serving,
    SetModel,
    SetPolicy,
    ToGateway,
)
from twinserve_server.ipc.model_set import ModelSet
from twinserve_server.ipc.model_setup import ChannelConfig
from twinserve_server.ipc.process_config import GatewayConfig, read_config
from twinserve_server.metrics.tallies import RpcTally
from twinserve_server.rpc.auth import admission, elsewhere, role_of
from twinserve_server.rpc.method import methods_of
from twinserve_server.rpc.serve import serve
from twinserve_server.services.admin import AdminService, call_supervisor
from twinserve_server.services.decode import Limits
from twinserve_server.services.health import HealthService
from twinserve_server.services.open_inference.repository import RepositoryService
from twinserve_server.services.open_inference.service import OpenInferenceService
from twinserve_server.services.predict import PredictService
from twinserve_server.settings.connections import connection_limits
from twinserve_server.settings.exposure import tls_files
from twinserve_server.telemetry.logs import configure_logging
from twinserve_server.telemetry.telemetry import Telemetry
from twinserve_server.transport.base import Door, ListenOptions, Transport
from twinserve_server.transport.certificates import Certificates
from twinserve_server.transport.choice import start_transport

TICK_SECONDS = 0.1
#: A drain waits until no call has arrived for this long, up to this limit.
QUIET_SECONDS = 0.05
QUIET_LIMIT_SECONDS = 1.0
PREDICT = predict_pb2.DESCRIPTOR.services_by_name["PredictService"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
OPEN_INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


#: Starts the transport of that name on the listeners; see :func:`start_transport`.
Listen = Callable[[str, Sequence[Door]], Awaitable[Transport]]


class Gateway:
    """Wires one gateway and runs it until it is told to drain."""

    def __init__(
        self, config: GatewayConfig, log_to: StandardError, links: Links, listen: Listen = start_transport
    ) -> None:
        """
        Args:
            config: what it serves.
            log_to: kept for as long as this lives.
            links: lead to the models.
            listen: starts the transport.
        """
        self._config = config
        self._log_to = log_to
        self._start_transport = listen
        self._telemetry = Telemetry(config)
        self._recorder = self._telemetry.recorder
        self._links = links
        self._control = ControlLine(ToGateway, self._on_message, SUPERVISOR_SECONDS)
        self._draining = False
        self._drained = asyncio.Event()
        self._health = HealthService()
        self._engine = Engine(
            {},
            config.default_model,
            self._telemetry.hooks,
            FeedbackStore(),
            Receipts(config.feedback_keys),
            id_prefix=f"{config.index:x}-",
        )
        self._transport: Transport | None = None
        self._models = ModelSet(self._engine, self._links, self._channel, self._recorder.queue_state)
        for setup in config.models:
            self._models.apply(setup)
        loaded = {(setup.model, version) for setup in config.models for version in setup.loaded}
        self._recorder.keep_only(loaded | set(config.lingering))
        self._tallies: list[RpcTally] = []
        self._certificates: Certificates | None = None
        if (files := tls_files(config.settings)) is not None and config.pem is not None:
            self._certificates = Certificates(files, config.pem)
        self._guard: Guard | None = None
        if config.settings.tokens is not None:
            self._guard = Guard(TokenFile(config.settings.tokens, config.tokens))

    async def run(self, control: Any) -> int:
        """Serve; return the exit code."""
        line = asyncio.ensure_future(self._control.serve(control))
        line.add_done_callback(lambda _: self._drained.set())
        await self._control.opened.wait()
        beating = asyncio.ensure_future(self._beat())
        try:
            self._transport = await self._listen()
        except TwinserveError as error:
            self._control.notify(Failed(error.message))
            await self._control.close()
            return 3
        ticker = asyncio.ensure_future(self._tick())
        relieving = asyncio.ensure_future(give_back_after_rushes())
        # Everything so far lives as long as the process, so the garbage collector can ignore it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await self._drained.wait()
        ticker.cancel()
        relieving.cancel()
        self._links.close()
        # In a thread: sending the last traces may take a while, and this process must stay alive meanwhile.
        await asyncio.to_thread(self._telemetry.close)
        beating.cancel()
        return 0

    async def _listen(self) -> Transport:
        transport = await self._start_transport(self._config.settings.transport, self._doors())
        for served in self._engine.versions():
            for channel in served.channels.values():
                channel.later = transport.later
        return transport

    async def drain(self, grace_seconds: float) -> None:
        """Stop taking requests, answer those accepted, then end. Calling it again changes nothing."""
        if self._draining:
            return
        self._draining = True
        self._health.drain()
        self._engine.draining = True
        if self._transport is not None:
            await self._until_quiet(min(QUIET_LIMIT_SECONDS, grace_seconds))
            await self._transport.drain(grace_seconds)
        self._drained.set()

    async def _until_quiet(self, limit_seconds: float) -> None:
        """Keep answering new calls with UNAVAILABLE until none arrives for a moment.

        gRPC answers calls that have arrived but have not been taken when it stops with CANCELLED: nobody counts those,
        and no client retries them.
        """
        until = time.monotonic() + limit_seconds
        before = -1.0
        while time.monotonic() < until and before != (now := sum(tally.begun for tally in self._tallies)):
            before = now
            await asyncio.sleep(QUIET_SECONDS)

    def _channel(self, version: ModelVersion, variant: str, reached: ChannelConfig) -> ModelChannel:
        settings = self._config.settings
        policy = BatchPolicy(
            max_batch_size=reached.max_batch_size,
            max_queue_delay_ns=settings.max_queue_delay_us * 1000,
            preferred_batch_sizes=tuple(sorted(settings.preferred_batch_sizes)),
            bounds=Amount(settings.max_queue_requests, settings.max_queue_images, settings.max_queue_mib << 20),
            enabled=settings.batching,
        )
        on_transfer = self._recorder.transfer_of(version, variant)
        channel = ModelChannel(version, variant, policy, on_transfer, pipeline=settings.pipeline)
        if self._transport is not None:
            channel.later = self._transport.later
        return channel

    def _doors(self) -> list[Door]:
        settings, admin_at = self._config.settings, self._config.admin
        limits = Limits(settings.max_request_images, settings.max_message_mib << 20)
        public: dict[ServiceDescriptor, object] = {
            PREDICT: PredictService(self._engine, limits, self._judge_elsewhere, self._claim),
            ADMIN: (admin := AdminService(self._engine, self._control)),
            OPEN_INFERENCE: OpenInferenceService(self._engine, limits, self._control),
            HEALTH: self._health,
        }
        if admin_at is None:
            return [self._door(settings.host, self._config.port, public)]
        return [
            self._door(settings.host, self._config.port, public, admin_elsewhere="{}:{}".format(*admin_at)),
            self._door(
                *admin_at,
                {ADMIN: admin, OPEN_INFERENCE: RepositoryService(self._engine, self._control), HEALTH: self._health},
            ),
        ]

    def _door(
        self, host: str, port: int, servicers: dict[ServiceDescriptor, object], admin_elsewhere: str = ""
    ) -> Door:
        credentials = self._certificates.credentials() if self._certificates is not None else None
        settings = self._config.settings
        message_bytes, limits = settings.max_message_mib << 20, connection_limits(settings)
        options = ListenOptions(host, port, True, message_bytes, credentials, limits)
        names = [service.full_name for service in (*servicers, REFLECTION)]
        reflected = {**servicers, REFLECTION: reflection.aio.ReflectionServicer(names)}
        handlers = []
        for service, servicer in reflected.items():
            for method in methods_of(service, servicer):
                admit = admission(self._guard, method.service, method.name)
                if admin_elsewhere and role_of(method.service, method.name) == ADMIN_ROLE:
                    admit = elsewhere(admit, admin_elsewhere)
                tally = self._recorder.rpc_tally(method.kind, method.service, method.name)
                self._tallies.append(tally)
                handlers.append(serve(method, tally, self._telemetry.journal, admit))
        return Door(options, handlers)

    async def _on_message(self, message: ToGateway) -> Message | None:
        match message:
            case Drain(grace_seconds=seconds):
                await self.drain(seconds)
            case SetPolicy(model=model, policy=policy):
                self._engine.set_policy(model, policy)
            case SetModel(setup=setup):
                await self._models.change(setup)
            case KeepMetrics(versions=versions):
                self._recorder.keep_only(set(versions))
            case Judge(request_id=request_id, labels=labels):
                return Judged(self._engine.judge(request_id, labels) if self._engine.knows(request_id) else None)
        return None

    async def _claim(self, key: str) -> None:
        await call_supervisor(self._control, Claim(key), Done)

    async def _judge_elsewhere(self, request_id: str, labels: list[int]) -> Judgement | None:
        return (await call_supervisor(self._control, Judge(request_id, labels), Judged)).judgement

    async def _beat(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self._control.notify(Alive())
                await asyncio.sleep(ALIVE_SECONDS)

    async def _tick(self) -> None:
        announced = False
        # A liveness probe asks whether this process answers, not whether its models do.
        self._health.set("live", True)
        while True:
            self._engine.tick()
            if self._guard is not None:
                self._guard.refresh()
            if self._certificates is not None:
                self._certificates.refresh()
            # Once everything has been ready, a variant without traffic does not make the server unready.
            ready = self._engine.ready
            serving = ready or (announced and self._engine.routable)
            self._health.set("", serving)
            self._health.set(PREDICT.full_name, serving)
            for served in self._engine.versions():
                for variant in served.channels:
                    self._recorder.queue_state(served, variant)
            self._health.set_variants(
                {
                    f"{model}/{name}": served.channels[variant].ready
                    for model, active in self._engine.models.items()
                    for name, (served, variant) in active.addresses.items()
                }
            )
            if ready and not announced and self._transport is not None:
                announced = True
                self._control.notify(Serving(self._transport.name))
            await asyncio.sleep(TICK_SECONDS)


def main() -> int:
    """Run a gateway until the supervisor says otherwise."""
    config, control = read_config(GatewayConfig)
    if config.cores:
        os.sched_setaffinity(0, config.cores)
    log_to = configure_logging(config.settings.log_format, config.settings.log_level, process=config.name)

    async def run() -> int:
        return await Gateway(config, log_to, ModelLinks(is_ours)).run(control)

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
