"""What a gateway serves of one model: the loaded versions, which one is active, and the traffic policy."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.router import TrafficPolicy


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """How a gateway reaches one variant, and the limit of its batches."""

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
        loaded: by version; empty if the model is no longer served.
        active: the version that answers requests that name none.
        policy: how requests that name no variant are distributed.
    """

    model: str
    loaded: dict[str, LoadedVersion]
    active: str
    policy: TrafficPolicy
