"""The way to a model in this process, which runs in a thread of its own (the edge profile)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.job import Batch, BatchTiming, Buffer
from twinserve_server.engine.layout import Form, Layout
from twinserve_server.engine.link import Link

#: Takes the result of a batch: classes, probabilities, the time of each step, errors by row, and the layout of rows of
#: tensors.
OnAnswer = Callable[[Buffer, Buffer, BatchTiming, Mapping[int, str], Layout | None], None]
#: Runs a batch elsewhere: its pixels in pieces, their datatype, how many images, and the callback for the result.
RunElsewhere = Callable[[list[Buffer], Form, int, OnAnswer], None]


class ThreadLink(Link):
    """Hands batches to a thread and takes its answers on the running loop."""

    def __init__(self, channel: ModelChannel, run: RunElsewhere) -> None:
        super().__init__(channel)
        self._run = run
        self._loop = asyncio.get_running_loop()

    def send(self, batch: Batch) -> None:
        """Give ``batch`` to the model's thread."""
        batch.sent_ns = time.monotonic_ns()
        self._in_flight.append(batch)
        self._run(batch.buffers(self.channel.item_bytes(batch.datatype)), batch.datatype, batch.images, self._told)

    def _told(
        self,
        classes: Buffer,
        probabilities: Buffer,
        timing: BatchTiming,
        messages: Mapping[int, str],
        outputs: Layout | None,
    ) -> None:
        # In the model's thread.
        rows = memoryview(classes), memoryview(probabilities)
        self._loop.call_soon_threadsafe(partial(self._take, *rows, timing, messages, outputs))

    def _take(
        self,
        classes: memoryview,
        probabilities: memoryview,
        timing: BatchTiming,
        messages: Mapping[int, str],
        outputs: Layout | None,
    ) -> None:
        if not self.closed:
            self._answered(classes, probabilities, timing, messages, outputs)

    def _disconnect(self) -> None:
        pass
