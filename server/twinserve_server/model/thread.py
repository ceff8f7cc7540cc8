"""Models in a thread of the process that also takes the requests: the edge profile's counterpart of a model process.

One thread for all variants: on the small machines that the profile is for they would share a core anyway, and the
library that runs them sees a single thread, as in a model process. Libraries release the GIL while they compute, so the
gateway can continue.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from twinserve_server.engine.job import BatchTiming, Buffer
from twinserve_server.engine.layout import Form
from twinserve_server.engine.thread_link import OnAnswer
from twinserve_server.ipc.load_facts import LoadFacts
from twinserve_server.ipc.process_config import ModelProcessConfig
from twinserve_server.metrics.cells import BatchRecorder
from twinserve_server.metrics.slab import Slab
from twinserve_server.model.process import load
from twinserve_server.model.rescue import run_batch

Result = TypeVar("Result")


class ModelThread:
    """Runs what it is given, in order, in a thread of its own."""

    def __init__(self) -> None:
        #: When the current forward pass began (``time.perf_counter_ns``); 0: none does.
        self.busy_since_ns = 0
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        """Run ``task`` when everything that was put before has run."""
        self._tasks.put(task)

    async def call(self, function: Callable[[], Result]) -> Result:
        """What ``function`` returns, or raises, in the thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def run() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001  (raised again where it is awaited)
                loop.call_soon_threadsafe(_settle, future, future.set_exception, error)
            else:
                loop.call_soon_threadsafe(_settle, future, future.set_result, result)

        self.put(run)
        return await future

    def end(self) -> None:
        """Run what was put, then end."""
        self._tasks.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the end for at most ``seconds``."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            # Do not keep a batch's pixels alive while idle.
            del task


class ThreadModel:
    """One variant, loaded and warm, that runs in a :class:`ModelThread`."""

    def __init__(
        self, thread: ModelThread, config: ModelProcessConfig, on_progress: Callable[[int, int], None]
    ) -> None:
        """Load it; in the thread.

        Raises:
            ArtefactError: see ``model.process.load``.
        """
        began_ns = time.thread_time_ns()
        self._thread = thread
        self._forward = load(config, on_progress)
        #: As a model process reports them.
        self.facts: LoadFacts = self._forward.facts
        self._recorder = BatchRecorder(
            Slab(config.slab_fd), (config.version.model, config.version.version, config.variant)
        )
        self._cpu_ns = time.thread_time_ns() - began_ns

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds that the thread has spent on this variant."""
        return self._cpu_ns / 1e9

    def run(self, buffers: list[Buffer], datatype: Form, images: int, on_answer: OnAnswer) -> None:
        """Run one batch in the thread; ``on_answer`` is called there. See ``engine.thread_link``."""
        self._thread.put(partial(self._pass, buffers, datatype, images, on_answer, time.perf_counter_ns()))

    def _pass(self, buffers: list[Buffer], datatype: Form, images: int, on_answer: OnAnswer, arrived_ns: int) -> None:
        began_ns = time.thread_time_ns()
        data: Buffer = buffers[0] if len(buffers) == 1 else bytearray().join(buffers)
        started_ns = self._thread.busy_since_ns = time.perf_counter_ns()
        outcome = run_batch(self._forward, self._recorder, data, datatype, images)
        self._thread.busy_since_ns = 0
        timing = BatchTiming(
            started_ns - arrived_ns, outcome.preprocess_ns, outcome.inference_ns, outcome.postprocess_ns, images
        )
        on_answer(outcome.classes, outcome.probabilities, timing, outcome.errors, outcome.layout)
        self._cpu_ns += time.thread_time_ns() - began_ns


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    if not future.cancelled():
        settle(value)
