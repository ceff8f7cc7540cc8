"""The deployment of one variant: the server's own model thread in each of its replicas."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from twinserve_ray.reports import Answered, Instructions, Reporter
from twinserve_server.engine.job import BatchTiming, Buffer
from twinserve_server.engine.layout import Form, Layout
from twinserve_server.ipc.messages import Ready, WarmingUp
from twinserve_server.metrics.books import Books
from twinserve_server.model.thread import ModelThread, ThreadModel
from twinserve_server.supervisor.model_reports import log_report
from twinserve_server.supervisor.plan import Plan
from twinserve_server.telemetry.logs import configure_logging


class Model:
    """One replica of one variant: verified, loaded and warm before Serve sends it anything."""

    def __init__(self, plan: Plan, model: str, variant: str, supervisor: DeploymentHandle) -> None:
        """
        Raises:
            ArtefactError: it cannot be served.
        """
        context = serve.get_replica_context()
        self._key, self._index = (model, variant), context.rank.rank
        replica = plan.replica(plan.versions[model], variant, self._index)
        configure_logging(plan.settings.log_format, plan.settings.log_level, process=replica.name)
        books = Books()
        config = plan.model_config(replica, -1, books.open(replica.name))
        os.environ.update(config.variables)
        self._thread = ModelThread()
        self._model: ThreadModel = self._in_thread(
            lambda: ThreadModel(
                self._thread, config, lambda done, sizes: log_report(replica.name, WarmingUp(done, sizes))
            )
        )
        self._ready_at = time.time()
        log_report(replica.name, Ready(self._model.facts))
        self._reporter = Reporter(
            replica.name, context.replica_tag, books.slab(replica.name), supervisor, self._say, self._told
        )

    async def run(self, data: bytes, datatype: Form, images: int) -> Answered:
        """Run one batch; what goes wrong with its items is in the answer, by row."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answered] = loop.create_future()

        def on_answer(
            classes: Buffer,
            probabilities: Buffer,
            timing: BatchTiming,
            errors: Mapping[int, str],
            layout: Layout | None,
        ) -> None:
            answer = Answered(bytes(classes), bytes(probabilities), timing, dict(errors), layout)
            loop.call_soon_threadsafe(answered.set_result, answer)

        self._model.run([data], datatype, images, on_answer)
        # The forward pass goes on after its gateway has gone, and its answer must still find its future.
        return await asyncio.shield(answered)

    def _in_thread(self, load: Any) -> Any:
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(load())
            except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
                done.set_exception(error)

        self._thread.put(run)
        return done.result()

    def _say(self) -> Mapping[str, Any]:
        return {
            "cpu_seconds": self._model.cpu_seconds,
            "ready": True,
            "key": self._key,
            "index": self._index,
            "facts": self._model.facts,
            "ready_at": self._ready_at,
        }

    async def _told(self, instructions: Instructions) -> None:
        """A model has nothing to follow."""
