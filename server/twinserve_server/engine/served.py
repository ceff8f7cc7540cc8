"""The versions of a model as a gateway serves them, and what the requests may call their variants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.address import address_of
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.router import Router


@dataclass(slots=True, eq=False)
class ServedModel:
    """One loaded version of a model.

    Attributes:
        version: its manifest.
        channels: by variant.
        router: shared by all versions of the model.
        addresses: what a request may name, and who answers it; shared by all versions of the model. ``int8`` is the
            active version's, ``int8@2`` that of version 2.
    """

    version: ModelVersion
    channels: dict[str, ModelChannel]
    router: Router
    addresses: dict[str, tuple[ServedModel, str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.addresses:
            share_addresses([self], self)

    @property
    def busy(self) -> bool:
        """Whether a request waits or runs."""
        return any(len(channel.queue) or channel.images_in_flight for channel in self.channels.values())

    @property
    def ready(self) -> bool:
        """Whether every variant has a warm model process."""
        return all(channel.ready for channel in self.channels.values())

    @property
    def live_ready(self) -> bool:
        """Whether every variant that a request without a variant may meet has a warm model process."""
        targets = (self.addresses[name] for name in self.router.live)
        return all(served.channels[variant].ready for served, variant in targets)


def share_addresses(versions: Iterable[ServedModel], active: ServedModel) -> None:
    """From now on the requests of a model go by these names to these versions, all at once."""
    versions = list(versions)
    pinned = {
        address_of(variant, served.version.version): (served, variant)
        for served in versions
        for variant in served.channels
    }
    addresses = {variant: (active, variant) for variant in active.channels} | pinned
    for served in versions:
        served.addresses = addresses
    others = {name for name, (served, _) in pinned.items() if served is not active}
    active.router.set_names(active.channels.keys() | others, pinned.keys() - others)
