"""What a gateway serves of one model: which versions are loaded, which of them is active, how requests are shared."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.router import TrafficPolicy


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """How a gateway reaches one variant, and how many images its batches may take."""

    addresses: list[str]
    max_batch_size: int


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version whose model processes are warm, and its channels by variant."""

    version: ModelVersion
    channels: dict[str, ChannelConfig]


@dataclass(frozen=True, slots=True)
class ModelSetup:
    """One model.

    Attributes:
        loaded: by version; none: the model is not served any more.
        active: the version of requests that name none.
        policy: how requests that name no variant are shared.
    """

    model: str
    loaded: dict[str, LoadedVersion]
    active: str
    policy: TrafficPolicy
