"""What the gateways have in common, though each works alone: the traffic policies, and who remembers which answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict

import structlog

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.errors import ConflictError
from twinserve_server.ipc.messages import Done, Judge, Judged, SetPolicy, SetTraffic
from twinserve_server.supervisor.child import ChildProcess

log = structlog.get_logger()


class Traffic:
    """Holds the policies in force.

    Attributes:
        policies: by model.
        gateways: those that follow them.
    """

    def __init__(self, versions: Mapping[str, ModelVersion], policies: Mapping[str, TrafficPolicy]) -> None:
        self.policies = dict(policies)
        self.gateways: list[ChildProcess] = []
        self._versions = versions

    async def change(self, wanted: SetTraffic) -> None:
        """Change a policy everywhere before returning.

        Raises:
            InvalidInputError: the policy is not one.
            ConflictError: the policy has another generation than the caller expects.
        """
        model, current = wanted.model, self.policies[wanted.model]
        if wanted.if_generation is not None and wanted.if_generation != current.generation:
            raise ConflictError(
                f"if_generation: is {wanted.if_generation}, but the policy has generation {current.generation} by now"
            )
        policy = TrafficPolicy.checked(
            set(self._versions[model].variants), wanted.weights, wanted.shadows, current.generation + 1
        )
        self.policies[model] = policy
        log.info("traffic_changed", model=model, **asdict(policy))
        lines = [gateway.line for gateway in self.gateways if gateway.line is not None]
        await asyncio.gather(*(line.call(SetPolicy(model, policy), Done) for line in lines), return_exceptions=True)

    def tell(self, gateway: ChildProcess) -> None:
        """Tell a gateway the policies in force: what changed since it was configured has passed it by."""
        for model, policy in self.policies.items():
            gateway.tell(SetPolicy(model, policy))

    async def judge(self, asking: ChildProcess, question: Judge) -> Judged:
        """What the other gateways than the one that asks say."""
        for line in [gateway.line for gateway in self.gateways if gateway is not asking]:
            # One that has just ended, or hangs, keeps nobody from asking the next.
            with contextlib.suppress(ConnectionError, TimeoutError):
                if line is not None and (found := await line.call(question, Judged)).judgement is not None:
                    return found
        return Judged(None)
