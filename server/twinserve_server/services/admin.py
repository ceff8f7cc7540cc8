"""AdminService: traffic, versions and process status. A gateway forwards calls; the supervisor decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from twinserve.v1 import admin_pb2
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.router import ShadowPolicy
from twinserve_server.errors import InvalidInputError, ModelUnavailableError, UnknownModelError, shown
from twinserve_server.ipc.control import Answered, ControlLine
from twinserve_server.ipc.messages import (
    ActivateVersion,
    Done,
    GetStatus,
    ListVersions,
    LoadVersion,
    Message,
    ModelVersions,
    SetTraffic,
    Status,
    UnloadVersion,
    Versions,
)

#: Seconds that loading a version may take: a process for each variant starts, and may warm up for a while.
LOAD_SECONDS: Final = 600.0


class AdminService:
    """The methods of ``twinserve.v1.AdminService``."""

    def __init__(self, engine: Engine, control: ControlLine) -> None:
        self._engine = engine
        self._control = control

    async def get_traffic(self, request: admin_pb2.GetTrafficRequest, context: object) -> admin_pb2.GetTrafficResponse:
        """The policy in force."""
        policy = self._engine.find(request.model).router.policy
        return admin_pb2.GetTrafficResponse(
            traffic=admin_pb2.Traffic(
                model=request.model or self._engine.default_model,
                weights=policy.weights,
                shadows=[admin_pb2.Shadow(variant=item.variant, share=item.share) for item in policy.shadows],
                generation=policy.generation,
            )
        )

    async def set_traffic(self, request: admin_pb2.SetTrafficRequest, context: object) -> admin_pb2.SetTrafficResponse:
        """Change the policy in every gateway."""
        traffic = request.traffic
        self._engine.find(traffic.model)
        wanted = SetTraffic(
            traffic.model or self._engine.default_model,
            dict(traffic.weights),
            tuple(ShadowPolicy(item.variant, item.share) for item in traffic.shadows),
            request.if_generation if request.HasField("if_generation") else None,
        )
        await call_supervisor(self._control, wanted, Done)
        answer = await self.get_traffic(admin_pb2.GetTrafficRequest(model=traffic.model), context)
        return admin_pb2.SetTrafficResponse(traffic=answer.traffic)

    async def list_versions(
        self, request: admin_pb2.ListVersionsRequest, context: object
    ) -> admin_pb2.ListVersionsResponse:
        """Every version on disk or loaded."""
        found = await call_supervisor(self._control, ListVersions(), Versions)
        models = [_versions_of(found, request.model)] if request.model else [_model_versions(m) for m in found.models]
        return admin_pb2.ListVersionsResponse(models=models)

    async def load_version(
        self, request: admin_pb2.LoadVersionRequest, context: object
    ) -> admin_pb2.LoadVersionResponse:
        """Load a version beside the others."""
        return admin_pb2.LoadVersionResponse(model=await self._change(request.model, LoadVersion, request.version))

    async def activate_version(
        self, request: admin_pb2.ActivateVersionRequest, context: object
    ) -> admin_pb2.ActivateVersionResponse:
        """Give a version the requests that name none."""
        if_active = request.if_active if request.HasField("if_active") else None
        changed = await self._change(
            request.model, ActivateVersion, request.version, keep_previous=request.keep_previous, if_active=if_active
        )
        return admin_pb2.ActivateVersionResponse(model=changed)

    async def unload_version(
        self, request: admin_pb2.UnloadVersionRequest, context: object
    ) -> admin_pb2.UnloadVersionResponse:
        """Unload a version that is not active, or all of a model."""
        if request.all and request.version:
            raise InvalidInputError.of("all", f"is set beside version {shown(request.version)}; give one of them")
        if not (request.all or request.version):
            raise InvalidInputError.of("version", "is empty; give the version to unload")
        return admin_pb2.UnloadVersionResponse(model=await self._change(request.model, UnloadVersion, request.version))

    async def _change(self, model: str, change: Callable[..., Message], version: str, **how: object) -> Any:
        model = model or self._engine.default_model
        found = await call_supervisor(
            self._control, change(model=model, version=version, **how), Versions, LOAD_SECONDS
        )
        return _versions_of(found, model)

    async def get_status(self, request: admin_pb2.GetStatusRequest, context: object) -> admin_pb2.GetStatusResponse:
        """Every process and how it fares."""
        status = await call_supervisor(self._control, GetStatus(), Status)
        return admin_pb2.GetStatusResponse(
            version=status.version,
            uptime_seconds=status.uptime_seconds,
            processes=[admin_pb2.ProcessStatus(**msgspec.structs.asdict(entry)) for entry in status.processes],
        )


def _versions_of(found: Versions, model: str) -> admin_pb2.ModelVersions:
    for entry in found.models:
        if entry.model == model:
            return _model_versions(entry)
    raise UnknownModelError(
        f"model: {shown(model)} is not here; available: {', '.join(entry.model for entry in found.models)}"
    )


def _model_versions(found: ModelVersions) -> admin_pb2.ModelVersions:
    return admin_pb2.ModelVersions(
        model=found.model,
        active=found.active,
        previous=found.previous,
        versions=[
            admin_pb2.VersionStatus(
                version=entry.version,
                state=admin_pb2.VersionState.Value(f"VERSION_STATE_{entry.state.upper()}"),
                reason=entry.reason,
                variants=entry.variants,
            )
            for entry in found.versions
        ],
    )


async def call_supervisor(
    control: ControlLine, question: Message, answer: type[Answered], seconds: float | None = None
) -> Answered:
    """Call the supervisor, which may take ``seconds``; None for the usual limit.

    Raises:
        TwinserveError: the supervisor refused.
        ModelUnavailableError: the supervisor does not answer.
    """
    try:
        return await control.call(question, answer, seconds)
    except (ConnectionError, TimeoutError):
        raise ModelUnavailableError("the supervisor does not answer; try again") from None
