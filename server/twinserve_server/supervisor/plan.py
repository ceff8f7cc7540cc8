"""From settings and repository to the processes that shall run: pure decisions, nothing is started here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from twinserve_host.cores import usable_cores
from twinserve_host.memory import usable_bytes
from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.engine.router import ShadowPolicy, TrafficPolicy
from twinserve_server.errors import InvalidInputError, TwinserveError
from twinserve_server.ipc.addresses import address
from twinserve_server.ipc.process_config import ChannelConfig, GatewayConfig, ModelProcessConfig
from twinserve_server.metrics.books import Handed
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.profile import Profile, choose_profile
from twinserve_server.supervisor.sizing import Asked, Cost, Key, Machine, Sizing, size, threads_reason


class OptionError(TwinserveError):
    """An option names what is not there."""

    reason = "OPTION"


@dataclass(frozen=True, slots=True)
class Replica:
    """One model process to run."""

    model: str
    variant: str
    index: int

    @property
    def name(self) -> str:
        """``mnist-int8-0``: unique among the processes of a server."""
        return f"{self.model}-{self.variant}-{self.index}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server with these settings runs."""

    settings: ServerSettings
    versions: dict[str, ModelVersion]
    policies: dict[str, TrafficPolicy]
    default_model: str
    #: What the addresses of its model processes begin with.
    address_space: str
    #: One process, or many.
    profile: Profile
    #: None: not known yet, since no model process has said what an image costs it; the first of each can start.
    sizing: Sizing | None = None

    @property
    def reasons(self) -> list[str]:
        """Why so many processes run, in lines for people."""
        assert self.sizing is not None
        return self.sizing.reasons

    def replicas(self) -> Iterator[Replica]:
        """Every model process that shall run as far as is known."""
        for model, version in self.versions.items():
            for variant in version.variants:
                for index in range(self.sizing.replicas[model, variant] if self.sizing else 1):
                    yield Replica(model, variant, index)

    def batch_limit(self, variant: Variant) -> int:
        """Images a forward pass of ``variant`` may take."""
        return self.settings.max_batch_size or variant.max_batch_size

    def sized(self, costs: dict[Key, Cost]) -> Plan:
        """This plan with the number of processes that fits ``costs``, of every variant, and this machine."""
        settings = self.settings
        machine = Machine(usable_cores(), usable_bytes(), shares_port=sys.platform == "linux")
        asked = Asked(settings.gateways, settings.replicas, settings.threads, settings.transport)
        return replace(self, sizing=size(machine, costs, asked))

    def in_one_process(self) -> Plan:
        """This plan for the edge profile: one of everything, in one process."""
        replicas = {(model, variant): 1 for model, version in self.versions.items() for variant in version.variants}
        reasons = [
            f"1 process for gateway and models (edge profile): {self.profile.reason}",
            threads_reason(self.settings.threads),
        ]
        return replace(self, sizing=Sizing(1, replicas, reasons))

    def model_config(self, replica: Replica, control_fd: int, handed: Handed) -> ModelProcessConfig:
        """The configuration of a model process."""
        version = self.versions[replica.model]
        return ModelProcessConfig(
            name=replica.name,
            settings=self.settings,
            version=version,
            variant=replica.variant,
            max_batch_size=self.batch_limit(version.variants[replica.variant]),
            address=address(self.address_space, replica.name),
            control_fd=control_fd,
            slab_fd=handed.slab,
        )

    def gateway_config(
        self,
        index: int,
        control_fd: int,
        handed: Handed,
        entrance: Entrance,
        policies: dict[str, TrafficPolicy],
        feedback_keys: tuple[bytes, ...],
    ) -> GatewayConfig:
        """The configuration of a gateway with the policies, tokens and certificates in force now."""
        guard, certificates = entrance.guard, entrance.certificates
        if guard is not None:
            guard.refresh()
        if certificates is not None:
            certificates.refresh()
        return GatewayConfig(
            name=f"gateway-{index}",
            index=index,
            settings=self.settings,
            port=entrance.port,
            control_fd=control_fd,
            slab_fd=handed.slab,
            exemplars_fd=handed.exemplars,
            default_model=self.default_model,
            versions=self.versions,
            channels={
                name: {variant: self._channel(name, variant) for variant in version.variants}
                for name, version in self.versions.items()
            },
            policies=policies,
            tokens=() if guard is None else guard.tokens,
            pem=None if certificates is None else certificates.pem,
            feedback_keys=feedback_keys,
            admin=entrance.admin,
        )

    def _channel(self, model: str, variant: str) -> ChannelConfig:
        paths = [
            address(self.address_space, replica.name)
            for replica in self.replicas()
            if replica.model == model and replica.variant == variant
        ]
        return ChannelConfig(paths, self.batch_limit(self.versions[model].variants[variant]))


def make_plan(settings: ServerSettings, versions: dict[str, ModelVersion], address_space: str) -> Plan:
    """Decide what to run.

    Raises:
        OptionError: a variant or model that the settings name is not in the repository, or two contradict each other.
        InvalidInputError: a share is given to a variant that is not served.
        ProfileError: the edge profile is asked for and cannot be had.
    """
    chosen = {name: _only(version, settings.variants) for name, version in versions.items()}
    chosen = {name: version for name, version in chosen.items() if version.variants}
    known = {variant for version in versions.values() for variant in version.variants}
    served = {variant for version in chosen.values() for variant in version.variants}
    for option, names, there in (
        ("variants", settings.variants, known),
        ("replicas", settings.replicas, served),
        ("split", settings.split, served),
        ("shadow", settings.shadow, served),
        ("pin", settings.pin, served | {"gateway"}),
    ):
        for name in names:
            if name not in there:
                raise OptionError(f"--{option}: no variant {name!r}; there are: {', '.join(sorted(there))}")
    if settings.traffic is not None and (settings.split or settings.shadow):
        raise OptionError("--traffic: the file says what --split and --shadow would; give either the one or the others")
    default = settings.default_model or next(iter(chosen))
    if default not in chosen:
        raise OptionError(f"--default-model: no model {default!r}; there are: {', '.join(sorted(chosen))}")
    policies = {name: _first_policy(version, settings) for name, version in chosen.items()}
    profile = choose_profile(settings, chosen, usable_cores())
    return Plan(settings, chosen, policies, default, address_space, profile)


def _only(version: ModelVersion, names: list[str]) -> ModelVersion:
    # What is served on demand only is not; a model of nothing else is served whole.
    names = names or [name for name, variant in version.variants.items() if not variant.on_demand]
    if not names:
        return version
    return replace(version, variants={name: version.variants[name] for name in version.variants if name in names})


def _first_policy(version: ModelVersion, settings: ServerSettings) -> TrafficPolicy:
    """Shares as the settings say; the rest, or everything, goes to the manifest's first variant not named there."""
    weights = {name: share for name, share in settings.split.items() if name in version.variants}
    rest = max(0.0, 1.0 - sum(weights.values()))
    baseline = next((name for name in version.variants if name not in weights), None)
    if baseline is not None and rest > 0:
        weights[baseline] = rest
    if not any(weights.values()):
        raise InvalidInputError.of("split", f"{settings.split} leaves {version.model} without a variant to answer")
    shadows = tuple(ShadowPolicy(name, share) for name, share in settings.shadow.items() if name in version.variants)
    return TrafficPolicy.checked(set(version.variants), weights, shadows)
