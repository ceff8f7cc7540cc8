"""Decides from settings and repository which processes to run. Pure: nothing is started here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from twinserve_host.cores import usable_cores
from twinserve_host.memory import usable_bytes
from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.engine.address import AT
from twinserve_server.engine.router import ShadowPolicy, TrafficPolicy
from twinserve_server.errors import InvalidInputError, TwinserveError
from twinserve_server.ipc.addresses import address
from twinserve_server.ipc.load_facts import Cost
from twinserve_server.ipc.model_setup import ChannelConfig, LoadedVersion, ModelSetup
from twinserve_server.ipc.process_config import GatewayConfig, ModelProcessConfig
from twinserve_server.metrics.books import Handed
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.profile import Profile, choose_profile
from twinserve_server.supervisor.sizing import Asked, Key, Machine, Sizing, size, threads_reason


class OptionError(TwinserveError):
    """An option names something that does not exist."""

    reason = "OPTION"


@dataclass(frozen=True, slots=True)
class Replica:
    """One model process to run.

    Attributes:
        name: ``mnist-int8-0``, or ``mnist-int8@2-0`` for a version loaded later; unique within a server.
    """

    name: str
    version: ModelVersion
    variant: str
    index: int

    @property
    def runtime(self) -> str:
        """What runs its artefact, as manifests name it."""
        return self.version.variants[self.variant].format

    @property
    def forked(self) -> bool:
        """Whether its process may be forked: CUDA does not work in a fork of a process that has loaded it."""
        return self.version.variants[self.variant].device == "cpu"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server with given settings runs."""

    settings: ServerSettings
    #: By model: the version for requests that name none, and all loaded versions.
    active: dict[str, str]
    loaded: dict[str, dict[str, ModelVersion]]
    #: With which the server starts.
    policies: dict[str, TrafficPolicy]
    default_model: str
    #: The prefix of the addresses of its model processes.
    address_space: str
    #: One process, or many.
    profile: Profile
    #: The versions with which the server starts, by model.
    first: dict[str, str]
    #: None: not known yet, because no model process has reported its cost per image; the first of each can start.
    sizing: Sizing | None = None

    @property
    def reasons(self) -> list[str]:
        """The reasons for the number of processes, as lines for people."""
        assert self.sizing is not None
        return self.sizing.reasons

    def replicas(self) -> Iterator[Replica]:
        """Every model process to run, as far as known."""
        for versions in self.loaded.values():
            for version in versions.values():
                yield from self.replicas_of(version)

    def replicas_of(self, version: ModelVersion) -> Iterator[Replica]:
        """Every model process of a version that is loaded, or shall be."""
        for variant in version.variants:
            for index in range(self._count(version.model, variant)):
                yield self.replica(version, variant, index)

    def replica(self, version: ModelVersion, variant: str, index: int) -> Replica:
        """One model process of a version."""
        tag = "" if self.first.get(version.model) == version.version else f"{AT}{version.version}"
        return Replica(f"{version.model}-{variant}{tag}-{index}", version, variant, index)

    def _count(self, model: str, variant: str) -> int:
        """How many processes a variant gets, also one that was not there when they were counted: all of a model get the
        same number, unless the settings name one."""
        if self.sizing is None:
            return 1
        alike = [count for (known, _), count in self.sizing.replicas.items() if known == model]
        found = self.sizing.replicas.get((model, variant)) or self.settings.replicas.get(variant)
        return found or max(alike, default=1)

    @property
    def versions(self) -> dict[str, ModelVersion]:
        """The active version of each model."""
        return {model: self.loaded[model][version] for model, version in self.active.items()}

    def holds(self, version: ModelVersion) -> bool:
        """Whether this very version is loaded."""
        return self.loaded.get(version.model, {}).get(version.version) is version

    def with_loaded(self, version: ModelVersion) -> Plan:
        """This plan with one more version."""
        others = self.loaded.get(version.model, {})
        return replace(self, loaded={**self.loaded, version.model: {**others, version.version: version}})

    def without(self, model: str, version: str) -> Plan:
        """This plan without a version; removing the active one removes the model."""
        if self.active.get(model) == version:
            return replace(
                self,
                active={name: number for name, number in self.active.items() if name != model},
                loaded={name: versions for name, versions in self.loaded.items() if name != model},
            )
        left = {number: found for number, found in self.loaded[model].items() if number != version}
        return replace(self, loaded={**self.loaded, model: left})

    def with_active(self, model: str, version: str) -> Plan:
        """This plan with another version active."""
        return replace(self, active={**self.active, model: version})

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
        version = replica.version
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
        lingering: list[tuple[str, str]],
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
            models=[self.setup(model, policies[model]) for model in self.active],
            lingering=lingering,
            tokens=() if guard is None else guard.tokens,
            pem=None if certificates is None else certificates.pem,
            feedback_keys=feedback_keys,
            admin=entrance.admin,
        )

    def setup(self, model: str, policy: TrafficPolicy) -> ModelSetup:
        """What a gateway serves of a model."""
        loaded = {
            number: LoadedVersion(version, {variant: self._channel(version, variant) for variant in version.variants})
            for number, version in self.loaded.get(model, {}).items()
        }
        return ModelSetup(model, loaded, self.active.get(model, ""), policy)

    def _channel(self, version: ModelVersion, variant: str) -> ChannelConfig:
        paths = [
            address(self.address_space, replica.name)
            for replica in self.replicas_of(version)
            if replica.variant == variant
        ]
        return ChannelConfig(paths, self.batch_limit(version.variants[variant]))


def make_plan(settings: ServerSettings, versions: dict[str, ModelVersion], address_space: str) -> Plan:
    """Decide what to run.

    Raises:
        OptionError: a variant or model in the settings is not in the repository, or two settings contradict each other.
        InvalidInputError: a share is given to a variant that is not served.
        ProfileError: the edge profile was requested and is not possible.
    """
    chosen = {name: served_of(version, settings) for name, version in versions.items()}
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
                raise OptionError(f"--{option}: no variant {name!r}; available: {', '.join(sorted(there))}")
    if settings.traffic is not None and (settings.split or settings.shadow):
        raise OptionError("--traffic: the file replaces --split and --shadow; give one or the other")
    default = settings.default_model or next(iter(chosen))
    if default not in chosen:
        raise OptionError(f"--default-model: no model {default!r}; available: {', '.join(sorted(chosen))}")
    policies = {name: first_policy(version, settings) for name, version in chosen.items()}
    active = {name: version.version for name, version in chosen.items()}
    loaded = {name: {version.version: version} for name, version in chosen.items()}
    profile = choose_profile(settings, chosen, usable_cores())
    return Plan(settings, active, loaded, policies, default, address_space, profile, active)


def served_of(version: ModelVersion, settings: ServerSettings) -> ModelVersion:
    """``version`` with the variants to be served, perhaps none."""
    # Variants on demand are left out, unless the model has no others.
    names = settings.variants or [name for name, variant in version.variants.items() if not variant.on_demand]
    if not names:
        return version
    return replace(version, variants={name: version.variants[name] for name in version.variants if name in names})


def first_policy(version: ModelVersion, settings: ServerSettings) -> TrafficPolicy:
    """The shares in the settings; the rest goes to the manifest's first variant that they do not name."""
    weights = {name: share for name, share in settings.split.items() if name in version.variants}
    rest = max(0.0, 1.0 - sum(weights.values()))
    baseline = next((name for name in version.variants if name not in weights), None)
    if baseline is not None and rest > 0:
        weights[baseline] = rest
    if not any(weights.values()):
        raise InvalidInputError.of("split", f"{settings.split} leaves {version.model} without a variant to answer")
    shadows = tuple(ShadowPolicy(name, share) for name, share in settings.shadow.items() if name in version.variants)
    return TrafficPolicy.checked(set(version.variants), weights, shadows)
