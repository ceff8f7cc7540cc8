"""What the gateways have in common, though each works alone: the traffic policies, and who remembers which answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Protocol

import structlog

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.errors import ConflictError, FollowsFileError
from twinserve_server.ipc.control import ControlLine
from twinserve_server.ipc.messages import Done, Judge, Judged, Message, SetPolicy, SetTraffic
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.claims import Claims
from twinserve_server.supervisor.feedback_key import feedback_keys
from twinserve_server.supervisor.traffic_file import TrafficFile, TrafficFileError

log = structlog.get_logger()

#: How soon a change of the traffic file is noticed.
FOLLOW_SECONDS = 1.0


class Gateway(Protocol):
    """What follows the policies."""

    @property
    def line(self) -> ControlLine | None:
        """Leads to it; None: it does not run."""

    def tell(self, message: Message) -> bool:
        """Send a message; whether there is anybody to take it."""


class Traffic:
    """Holds the policies in force.

    Attributes:
        policies: by model.
        gateways: those that follow them.
        file: where they are read from; None: from the settings, and later from calls.
        feedback_keys: by which signed answers are known; the first one signs.
        claims: the signed answers whose labels were counted.
    """

    def __init__(
        self,
        versions: Mapping[str, ModelVersion],
        policies: Mapping[str, TrafficPolicy],
        gateways: Sequence[Gateway],
        settings: ServerSettings,
    ) -> None:
        """
        Args:
            versions: what is served, by model.
            policies: in force until they are changed; of models that a file does not name, as long as it does not.
            gateways: those that follow them; there may come more.
            settings: name the file that is followed, and the key of signed answers.

        Raises:
            TrafficFileError: the file cannot be used.
            FeedbackKeyError: the key file cannot be used.
        """
        self.policies = dict(policies)
        self.gateways = gateways
        self.file: TrafficFile | None = None
        self._versions = versions
        self._first = dict(policies)
        self.feedback_keys = feedback_keys(settings.feedback_key)
        self.claims = Claims()
        if (path := settings.traffic) is not None:
            try:
                self.file = TrafficFile(path, versions)
            except TrafficFileError as error:
                raise TrafficFileError(f"--traffic: {error.message}") from None
            self.policies = self._of_file(self.file)

    async def change(self, wanted: SetTraffic) -> None:
        """Change a policy everywhere before returning.

        Raises:
            InvalidInputError: the policy is not one.
            ConflictError: the policy has another generation than the caller expects.
            FollowsFileError: the policies are those of a file.
        """
        if self.file is not None:
            raise FollowsFileError(
                f"traffic: this server follows {self.file.path}; change the file (on every server alike), or start "
                "without --traffic to change it by calls"
            )
        model, current = wanted.model, self.policies[wanted.model]
        if wanted.if_generation is not None and wanted.if_generation != current.generation:
            raise ConflictError(
                f"if_generation: is {wanted.if_generation}, but the policy has generation {current.generation} by now"
            )
        policy = TrafficPolicy.checked(
            set(self._versions[model].variants), wanted.weights, wanted.shadows, current.generation + 1
        )
        await self._put(model, policy)

    async def keep_following(self) -> None:
        """Follow the file for as long as the server runs."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            await self.follow()

    async def follow(self) -> None:
        """Put a changed file in force. One that cannot be used changes nothing, and the log says why."""
        if self.file is None:
            return
        try:
            # In a thread: a network file system may be slow to answer.
            if not await asyncio.to_thread(self.file.refresh):
                return
        except TrafficFileError as error:
            log.warning("traffic_file_not_read", reason=error.message, generation_in_force=self.file.generation)
            return
        for model, policy in self._of_file(self.file).items():
            await self._put(model, policy)

    def tell(self, gateway: Gateway) -> None:
        """Tell a gateway the policies in force: what changed since it was configured has passed it by."""
        for model, policy in self.policies.items():
            gateway.tell(SetPolicy(model, policy))

    def _of_file(self, file: TrafficFile) -> dict[str, TrafficPolicy]:
        first = {model: replace(policy, generation=file.generation) for model, policy in self._first.items()}
        return {**first, **file.policies}

    async def _put(self, model: str, policy: TrafficPolicy) -> None:
        self.policies[model] = policy
        log.info("traffic_changed", model=model, **asdict(policy))
        lines = [gateway.line for gateway in self.gateways if gateway.line is not None]
        await asyncio.gather(*(line.call(SetPolicy(model, policy), Done) for line in lines), return_exceptions=True)

    async def judge(self, asking: Gateway, question: Judge) -> Judged:
        """What the other gateways than the one that asks say."""
        for line in [gateway.line for gateway in self.gateways if gateway is not asking]:
            # One that has just ended, or hangs, keeps nobody from asking the next.
            with contextlib.suppress(ConnectionError, TimeoutError):
                if line is not None and (found := await line.call(question, Judged)).judgement is not None:
                    return found
        return Judged(None)
