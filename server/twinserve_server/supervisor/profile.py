"""Whether a server is one process or many: a pure function of its settings, its models and the cores it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.errors import TwinserveError
from twinserve_server.settings.server import ServerSettings


class ProfileError(TwinserveError):
    """The edge profile cannot do what other settings require."""

    reason = "PROFILE"


@dataclass(frozen=True, slots=True)
class Profile:
    """Attributes:
    edge: everything runs in one process.
    reason: why, for people.
    """

    edge: bool
    reason: str


def choose_profile(settings: ServerSettings, versions: Mapping[str, ModelVersion], cores: int) -> Profile:
    """Decide for the models in ``versions``, of which every variant is served.

    Raises:
        ProfileError: ``--profile edge`` with settings or models that need more than one process.
    """
    if settings.profile == "isolated":
        return Profile(False, "as set by --profile")
    obstacle = _obstacle(settings, versions)
    if settings.profile == "edge":
        if obstacle:
            raise ProfileError(f"--profile edge is one process, but {obstacle}; change that, or use --profile isolated")
        return Profile(True, "as set by --profile")
    usable = f"{cores} usable core{'s'[: cores > 1]}"
    if cores > 1:
        return Profile(False, usable)
    if obstacle:
        return Profile(False, f"{usable}, but {obstacle}")
    return Profile(True, f"{usable}; --profile isolated starts one for each variant and gateway")


def _obstacle(settings: ServerSettings, versions: Mapping[str, ModelVersion]) -> str:
    """What needs several processes; empty: nothing does."""
    if settings.gateways > 1:
        return f"--gateways {settings.gateways} asks for several"
    if settings.watch:
        return "--watch loads a version while another is serving"
    for variant, count in settings.replicas.items():
        if count > 1:
            return f"--replicas {variant}={count} asks for several"
    for role in settings.pin:
        return f"--pin {role} pins one of several (pin the whole server with taskset)"
    engines = {
        variant.quantized_engine
        for version in versions.values()
        for variant in version.variants.values()
        if variant.quantized_engine != "none"
    }
    if len(engines) > 1:
        return f"the variants need the quantised engines {' and '.join(sorted(engines))}, and torch has one a process"
    return ""
