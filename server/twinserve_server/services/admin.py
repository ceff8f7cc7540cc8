"""AdminService: the traffic policy and the state of the processes. The supervisor decides; a gateway passes on."""

from __future__ import annotations

import msgspec

from twinserve.v1 import admin_pb2
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.router import ShadowPolicy
from twinserve_server.errors import ModelUnavailableError
from twinserve_server.ipc.control import Answered, ControlLine
from twinserve_server.ipc.messages import Done, GetStatus, Message, SetTraffic, Status


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

    async def get_status(self, request: admin_pb2.GetStatusRequest, context: object) -> admin_pb2.GetStatusResponse:
        """Every process and how it fares."""
        status = await call_supervisor(self._control, GetStatus(), Status)
        return admin_pb2.GetStatusResponse(
            version=status.version,
            uptime_seconds=status.uptime_seconds,
            processes=[admin_pb2.ProcessStatus(**msgspec.structs.asdict(entry)) for entry in status.processes],
        )


async def call_supervisor(control: ControlLine, question: Message, answer: type[Answered]) -> Answered:
    """Ask the supervisor.

    Raises:
        TwinserveError: it refused.
        ModelUnavailableError: it does not answer.
    """
    try:
        return await control.call(question, answer)
    except (ConnectionError, TimeoutError):
        raise ModelUnavailableError("the supervisor does not answer; try again") from None
