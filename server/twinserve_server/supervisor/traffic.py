"""State shared by the gateways: the traffic policies, and which of them remembers an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

from twinserve_server.artefact.manifest import ModelVersion, same_signature
from twinserve_server.engine.address import AT, address_of
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.errors import ConflictError, FollowsFileError, InvalidInputError, PreconditionError
from twinserve_server.ipc.control import ControlLine
from twinserve_server.ipc.messages import Done, Judge, Judged, Message, SetPolicy, SetTraffic
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.claims import Claims
from twinserve_server.supervisor.feedback_key import feedback_keys
from twinserve_server.supervisor.plan import Plan
from twinserve_server.supervisor.traffic_file import TrafficFile, TrafficFileError

log = structlog.get_logger()

#: How often the traffic file is checked for changes, in seconds.
FOLLOW_SECONDS = 1.0


class Gateway(Protocol):
    """A gateway that follows the policies."""

    @property
    def line(self) -> ControlLine | None:
        """Leads to it; None: it does not run."""

    def tell(self, message: Message) -> bool:
        """Send a message; whether there is anybody to take it."""


class Server(Protocol):
    """What the policies are of."""

    @property
    def plan(self) -> Plan:
        """What is served now."""

    @property
    def gateways(self) -> Sequence[Gateway]:
        """Those that follow the policies; there may come more."""


class Traffic:
    """The policies in force.

    Attributes:
        policies: by model.
        file: the file they are read from; None if they come from the settings and later from calls.
        feedback_keys: verify signed answers; the first one signs.
        claims: the signed answers whose labels have been counted.
    """

    def __init__(self, server: Server) -> None:
        """Follow the file that the settings of ``server`` name, if they do.

        Raises:
            TrafficFileError: the file cannot be used.
            FeedbackKeyError: the key file cannot be used.
        """
        plan = server.plan
        self.policies = dict(plan.policies)
        self.file: TrafficFile | None = None
        self._server = server
        self.feedback_keys = feedback_keys(plan.settings.feedback_key)
        self.claims = Claims()
        if (path := plan.settings.traffic) is not None:
            try:
                self.file = TrafficFile(path, self._names_by_model)
            except TrafficFileError as error:
                raise TrafficFileError(f"--traffic: {error.message}") from None
            self.policies = self._of_file(self.file)

    async def change(self, wanted: SetTraffic) -> None:
        """Change a policy everywhere before returning.

        Raises:
            InvalidInputError: the policy is not one.
            ConflictError: the policy's generation is not the one that the caller expects.
            FollowsFileError: the policies are read from a file.
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
        plan = self._server.plan
        addresses = _addresses(plan.loaded[model], plan.active[model])
        aliases = {address_of(variant, plan.active[model]) for variant in plan.versions[model].variants}
        policy = TrafficPolicy.checked(
            addresses.keys() - aliases, wanted.weights, wanted.shadows, current.generation + 1, aliases
        )
        active = plan.versions[model]
        for name in _names(policy):
            if not same_signature(addresses[name], active):
                raise InvalidInputError.of(
                    f"traffic.weights[{name!r}]",
                    f"version {addresses[name].version} has other inputs or outputs than version {active.version}, "
                    "which is active; it can only be named in a request",
                )
        await self._put(model, policy)

    async def keep_following(self) -> None:
        """Follow the file for as long as the server runs."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            await self.follow()

    async def follow(self) -> None:
        """Apply the file if it has changed. An unusable file changes nothing; the log says why."""
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
            if model in self._server.plan.active:
                await self._put(model, policy)

    def _of_file(self, file: TrafficFile) -> dict[str, TrafficPolicy]:
        first = {
            model: replace(policy, generation=file.generation) for model, policy in self._server.plan.policies.items()
        }
        return {**first, **file.policies}

    async def _put(self, model: str, policy: TrafficPolicy) -> None:
        self.policies[model] = policy
        log.info("traffic_changed", model=model, **asdict(policy))
        lines = [gateway.line for gateway in self._server.gateways if gateway.line is not None]
        await asyncio.gather(*(line.call(SetPolicy(model, policy), Done) for line in lines), return_exceptions=True)

    def _names_by_model(self) -> dict[str, set[str]]:
        """The names that a file may use: variants of all versions with the same signature."""
        plan = self._server.plan
        return {
            model: {
                name
                for name, version in _addresses(plan.loaded[model], active).items()
                if same_signature(version, plan.versions[model])
            }
            for model, active in plan.active.items()
        }

    def of_version(self, model: str, version: str) -> TrafficPolicy:
        """The policy of a model when ``version`` becomes the active one: names without a version mean that one then.

        Raises:
            PreconditionError: the policy names a variant that this version does not have.
        """
        policy, loaded = self.policies[model], self._server.plan.loaded[model]
        addresses = _addresses(loaded, version)
        for name in _names(policy):
            if name not in addresses:
                raise PreconditionError(
                    f"the traffic policy of {model} names {name!r}, which version {version} does not have; give its "
                    "share to another variant first"
                )
            if not same_signature(addresses[name], loaded[version]):
                raise PreconditionError(
                    f"the traffic policy of {model} names {name!r}, which has other inputs or outputs than version "
                    f"{version}; give its share to another variant first"
                )
        weights = {name: weight for name, weight in policy.weights.items() if name in addresses}
        return TrafficPolicy(weights, policy.shadows, policy.generation + (self.file is None))

    def uses(self, model: str, version: str) -> str:
        """A name in the policy of ``model`` that stands for this version and no other; empty: there is none."""
        return next((name for name in _names(self.policies[model]) if name.endswith(f"{AT}{version}")), "")

    def share(self, version: ModelVersion, variant: str) -> float:
        """The share of a variant in the requests that name none, by whichever names."""
        policy, active = self.policies[version.model], self._server.plan.active[version.model]
        share = policy.shares.get(address_of(variant, version.version), 0.0)
        return share + (policy.shares.get(variant, 0.0) if version.version == active else 0.0)

    async def judge(self, asking: Gateway, question: Judge) -> Judged:
        """What the other gateways than the one that asks say."""
        for line in [gateway.line for gateway in self._server.gateways if gateway is not asking]:
            # One that has just ended or hangs must not keep the next from being asked.
            with contextlib.suppress(ConnectionError, TimeoutError):
                if line is not None and (found := await line.call(question, Judged)).judgement is not None:
                    return found
        return Judged(None)


def _addresses(loaded: dict[str, ModelVersion], active: str) -> dict[str, ModelVersion]:
    """What a policy may name, and the version that it stands for."""
    pinned = {
        address_of(variant, number): version for number, version in loaded.items() for variant in version.variants
    }
    return {**dict.fromkeys(loaded[active].variants, loaded[active]), **pinned}


def _names(policy: TrafficPolicy) -> list[str]:
    """The names that get requests by a policy."""
    return [
        *(name for name, weight in policy.weights.items() if weight > 0),
        *(shadow.variant for shadow in policy.shadows),
    ]
