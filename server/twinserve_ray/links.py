"""Carries batches from a gateway's channels to the replicas of their variant; Serve picks the replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import Context
from functools import partial
from typing import Final

from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from twinserve_ray.reports import Answered, Key
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.job import Batch
from twinserve_server.engine.link import Link
from twinserve_server.engine.links import pump_at
from twinserve_server.errors import ModelUnavailableError, TwinserveError

#: A batch whose replica dies is sent to another one, up to this many attempts: a forward pass may run twice.
ATTEMPTS: Final = 4
PAUSE_SECONDS: Final = 0.1
#: Batches in flight beyond one per replica: no replica waits for its next batch, and Serve sees when all are busy.
AHEAD: Final = 1


class ServeLink(Link):
    """One batch at a time, to whichever replica Serve picks."""

    def __init__(self, channel: ModelChannel, models: DeploymentHandle) -> None:
        super().__init__(channel)
        self._models = models
        self._asking: asyncio.Task[None] | None = None

    def send(self, batch: Batch) -> None:
        """Send ``batch`` to the replica."""
        batch.sent_ns = time.monotonic_ns()
        self._in_flight.append(batch)
        # Not in the context of the request that happened to fill the batch: Serve would treat this as part of that
        # request and end it, and with it the batch's other requests, when that request ends.
        self._asking = asyncio.get_running_loop().create_task(self._ask(batch), context=Context())

    async def _ask(self, batch: Batch) -> None:
        pieces = batch.buffers(self.channel.item_bytes(batch.datatype))
        data = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        try:
            answer = await self._answer(data, batch)
        except TwinserveError as error:
            self.close(error)
            return
        except BaseException:
            # However this ends, no caller may wait for an answer that cannot come.
            self.close()
            raise
        rows = memoryview(answer.classes), memoryview(answer.probabilities)
        self._answered(*rows, answer.timing, answer.errors, answer.layout)

    async def _answer(self, data: bytes, batch: Batch) -> Answered:
        name = self.channel.name
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer: Answered = await self._models.run.remote(data, batch.datatype, batch.images)
            except RayActorError:
                await asyncio.sleep(PAUSE_SECONDS * attempt)
            except RayServeException as error:
                raise ModelUnavailableError(f"variant {name!r}: no replica takes this batch ({error})") from None
            except Exception as error:  # noqa: BLE001  (what a replica may raise is anybody's guess)
                text = " ".join(str(error).split())[-300:]
                raise TwinserveError(f"variant {name!r}: its replica failed ({text})") from None
            else:
                return answer
        raise ModelUnavailableError(f"variant {name!r}: {ATTEMPTS} replicas ended while they ran this; try again")

    def _disconnect(self) -> None:
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()


class ServeLinks:
    """As many links a channel as its variant has replicas, and a few ahead."""

    def __init__(self, models: Mapping[Key, DeploymentHandle]) -> None:
        """``models``: the deployment of every variant."""
        self._models = models
        self._channels: list[ModelChannel] = []

    def connect(self, channel: ModelChannel, replica: int, path: str) -> None:  # noqa: ARG002  (Serve finds them)
        """Keep links from ``channel`` to all replicas of its variant, from now on."""
        channel.on_held_back = partial(pump_at, channel)
        self._channels.append(channel)

    def follow(self, replicas: Mapping[Key, int]) -> None:
        """Keep as many links as the ``replicas`` that are ready want; a link with a batch under way stays."""
        for channel in self._channels:
            key = (channel.model.model, channel.name)
            ready = replicas.get(key, 0)
            wanted = ready + AHEAD if ready else 0
            # If there is no replica, batches wait for one that is being started.
            idle = [link for link in channel.links if not link.in_flight]
            for link in idle[: max(0, len(channel.links) - wanted)]:
                link.close()
            while len(channel.links) < wanted:
                channel.add(ServeLink(channel, self._models[key]))

    def disconnect(self, channel: ModelChannel) -> None:
        """Nothing: the same models are served until the gateway ends."""

    def close(self) -> None:
        """End every link."""
        for channel in self._channels:
            for link in list(channel.links):
                link.close()
