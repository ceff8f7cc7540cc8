"""The deployment that answers requests: the server's own gateway, on Serve's calls."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from ray import serve
from ray.serve.grpc_util import RayServegRPCContext
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from twinserve_ray.context import Encoded
from twinserve_ray.links import ServeLinks
from twinserve_ray.reports import Instructions, Key, Reporter
from twinserve_ray.services import methods
from twinserve_ray.transport import ServeTransport
from twinserve_server.access.guard import Guard
from twinserve_server.access.token_file import TokenFile
from twinserve_server.access.tokens import METRICS
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.errors import PreconditionError, UnauthenticatedError
from twinserve_server.gateway import Gateway
from twinserve_server.ipc.control import CHILD_SECONDS, ControlLine
from twinserve_server.ipc.messages import (
    ActivateVersion,
    Alive,
    Claim,
    Done,
    Failed,
    FromGateway,
    GetStatistics,
    GetStatus,
    Judge,
    Judged,
    ListVersions,
    LoadVersion,
    Message,
    Serving,
    SetPolicy,
    SetTraffic,
    UnloadVersion,
)
from twinserve_server.metrics.books import Books
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.plan import Plan
from twinserve_server.telemetry.logs import configure_logging
from twinserve_server.transport.base import Door


class ServeGateway:
    """One replica: a gateway, and the end of its control line that leads to the supervisor's deployment.

    Serve calls the method that is named like the RPC; those methods are added below, from the proto.
    """

    def __init__(
        self,
        plan: Plan,
        feedback_keys: tuple[bytes, ...],
        supervisor: DeploymentHandle,
        keys: Sequence[Key],
        *models: DeploymentHandle,
    ) -> None:
        """
        Args:
            plan: what is served.
            feedback_keys: by which signed answers are known.
            supervisor: what the gateways have in common.
            keys: model and variant of each of ``models``.
            models: the deployments of the variants.
        """
        context = serve.get_replica_context()
        settings, name = plan.settings, f"gateway-{context.rank.rank}"
        log_to = configure_logging(settings.log_format, settings.log_level, process=name)
        self._supervisor = supervisor
        self._guard = None if settings.tokens is None else Guard(TokenFile(settings.tokens))
        self._links = ServeLinks(dict(zip(keys, models, strict=True)))
        self._policies: dict[str, TrafficPolicy] = dict(plan.policies)
        self._transport: ServeTransport | None = None
        self._serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        books = Books()
        handed = books.open(name, traces=settings.tracing != "off")
        config = plan.gateway_config(
            context.rank.rank, -1, handed, Entrance(0, self._guard), plan.policies, [], feedback_keys
        )
        ours, theirs = socket.socketpair()
        self._line = ControlLine(FromGateway, self._on_message, CHILD_SECONDS)
        self._running = [
            asyncio.ensure_future(self._line.serve(ours)),
            asyncio.ensure_future(Gateway(config, log_to, self._links, self._listen).run(theirs)),
        ]
        self._reporter = Reporter(name, context.replica_tag, books.slab(name), supervisor, self._say, self._follow)

    async def __call__(self, request: Request) -> Response:
        """``/metrics`` over HTTP: those of the whole application."""
        if request.url.path.rstrip("/") != "/metrics":
            return PlainTextResponse(f"{request.url.path} is not here; /metrics is\n", 404)
        if self._guard is not None:
            self._guard.refresh()
            if (refusal := self._guard.refusal(request.headers.get("authorization"), METRICS)) is not None:
                status = 401 if isinstance(refusal, UnauthenticatedError) else 403
                return PlainTextResponse(f"{refusal.message}\n", status)
        body, kind = await self._supervisor.metrics.remote(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind})

    def check_health(self) -> None:
        """Serve replaces a replica whose gateway has ended.

        Raises:
            RuntimeError: it has.
        """
        for task in self._running:
            if task.done():
                raise RuntimeError(f"the gateway has ended: {task.exception()}")

    async def answer(self, method: str, raw: Any, context: RayServegRPCContext) -> Encoded:
        """Answer a unary RPC; ``raw`` is the encoded request."""
        return await (await self._ready()).answer(method, raw, context)

    async def answer_each(self, method: str, raw: Any, context: RayServegRPCContext) -> AsyncIterator[Encoded]:
        """Answer the requests of a stream, in order."""
        transport = await self._ready()
        async for response in transport.answer_each(method, raw, context):
            yield response

    async def _ready(self) -> ServeTransport:
        if self._transport is None:
            await asyncio.shield(self._serving)
        assert self._transport is not None
        return self._transport

    async def _listen(self, choice: str, doors: Sequence[Door]) -> ServeTransport:  # noqa: ARG002
        self._transport = ServeTransport(doors)
        self._serving.set_result(None)
        return self._transport

    async def _on_message(self, message: FromGateway) -> Message | None:
        match message:
            case Judge():
                # Each gateway's own memory serves only its own callers, because Serve picks the gateway.
                return Judged(None)
            case SetTraffic() | GetStatus() | GetStatistics() | Claim():
                answer: Message = await self._supervisor.ask.remote(message)
                return answer
            case ListVersions() | LoadVersion() | ActivateVersion() | UnloadVersion():
                raise PreconditionError(
                    "versions: this application serves those that it was deployed with; to serve others, deploy it "
                    "with another model folder (args.models): Serve replaces its replicas one after the other"
                )
            case Alive() | Serving() | Failed():
                return None

    def _say(self) -> Mapping[str, Any]:
        return {"ready": self._transport is not None, "policies": self._policies}

    async def _follow(self, instructions: Instructions) -> None:
        for model, policy in instructions.policies.items():
            if policy != self._policies[model]:
                await self._line.call(SetPolicy(model, policy), Done)
                self._policies[model] = policy
        if instructions.replicas is not None:
            self._links.follow(instructions.replicas)


def _unary(name: str) -> Callable[..., Any]:
    async def call(self: ServeGateway, request: bytes, grpc_context: RayServegRPCContext) -> Encoded:
        return await self.answer(name, request, grpc_context)

    return call


def _stream(name: str) -> Callable[..., Any]:
    async def call(self: ServeGateway, request: Any, grpc_context: RayServegRPCContext) -> AsyncIterator[Encoded]:
        async for response in self.answer_each(name, request, grpc_context):
            yield response

    return call


for _method in methods():
    setattr(ServeGateway, _method.name, (_stream if _method.server_streaming else _unary)(_method.name))
