"""A gateway's models, as set by the supervisor: new ones are connected, old ones finish their requests and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.links import Links
from twinserve_server.engine.router import Router
from twinserve_server.engine.served import ServedModel, share_addresses
from twinserve_server.errors import ModelUnavailableError
from twinserve_server.ipc.model_setup import ChannelConfig, ModelSetup

#: How long a gateway tries to reach a process that has reported ready.
CONNECT_SECONDS: Final = 20.0
#: How long a removed version may take to answer what it was sent.
DRAIN_SECONDS: Final = 50.0
_LOOK_SECONDS: Final = 0.01

MakeChannel = Callable[[ModelVersion, str, ChannelConfig], ModelChannel]
#: Called when the number of waiting or running requests of a variant has changed.
TellQueue = Callable[[ServedModel, str], None]


class ModelSet:
    """Keeps an engine's models as they were last set."""

    def __init__(self, engine: Engine, links: Links, make_channel: MakeChannel, tell_queue: TellQueue) -> None:
        self._engine = engine
        self._links = links
        self._make_channel = make_channel
        self._tell_queue = tell_queue

    def apply(self, setup: ModelSetup) -> tuple[list[ServedModel], list[ServedModel]]:
        """Serve ``setup`` from the next request on; the versions that are new, and those that are gone."""
        engine, model = self._engine, setup.model
        present = engine.loaded.get(model, {})
        gone = [served for number, served in present.items() if number not in setup.loaded]
        engine.leaving += gone
        if not setup.loaded:
            engine.loaded.pop(model, None)
            engine.models.pop(model, None)
            return [], gone
        router = engine.models[model].router if model in engine.models else Router(set(), setup.policy)
        loaded = dict(present)
        new = []
        for number, entry in setup.loaded.items():
            if number not in present:
                channels = {
                    variant: self._make_channel(entry.version, variant, reached)
                    for variant, reached in entry.channels.items()
                }
                loaded[number] = ServedModel(entry.version, channels, router)
                new.append(loaded[number])
                for variant, reached in entry.channels.items():
                    for replica, path in enumerate(reached.addresses):
                        self._links.connect(channels[variant], replica, path)
        engine.loaded[model] = {number: loaded[number] for number in setup.loaded}
        engine.models[model] = loaded[setup.active]
        share_addresses(engine.loaded[model].values(), loaded[setup.active])
        router.set_policy(setup.policy)
        return new, gone

    async def change(self, setup: ModelSetup) -> None:
        """As :meth:`apply`; return once what is new can answer, and what is gone has.

        Raises:
            ModelUnavailableError: a new version cannot be reached.
        """
        new, gone = self.apply(setup)
        reached = await _until(lambda: all(served.ready for served in new), CONNECT_SECONDS)
        await _until(lambda: not any(served.busy for served in gone), DRAIN_SECONDS)
        for served in gone:
            self._engine.leaving.remove(served)
            for variant, channel in served.channels.items():
                self._links.disconnect(channel)
                channel.queue.fail_all(ModelUnavailableError(f"variant {variant!r}: its version is gone; try again"))
                self._tell_queue(served, variant)
        if not reached:
            raise ModelUnavailableError(f"the processes of {setup.model} cannot be reached")


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True
