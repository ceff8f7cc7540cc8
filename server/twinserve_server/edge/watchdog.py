"""Ends a hung process, so that the service manager restarts it: in the edge profile nothing else does."""

from __future__ import annotations

import os
import threading
import time

from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.messages import ALIVE_SECONDS
from twinserve_server.model.thread import ModelThread
from twinserve_server.settings.server import ServerSettings
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.pulse import Pulse

log = structlog.get_logger()


class Watchdog:
    """Tracks missing heartbeats of the gateway and the duration of forward passes, by the supervisor's rules."""

    def __init__(self, settings: ServerSettings, models: ModelThread) -> None:
        self._pulse = Pulse(settings.hang_seconds, settings.batch_seconds)
        self._models = models
        #: Whether everything runs; until then loading a model may hold Python's lock.
        self.ready = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def heard(self) -> None:
        """The gateway's loop is running."""
        since_ns = self._models.busy_since_ns
        busy_seconds = (time.perf_counter_ns() - since_ns) / 1e9 if since_ns else 0.0
        if self._pulse.heard(busy_seconds):
            log.warning("slow_batch", process="edge", busy_seconds=round(busy_seconds, 1))

    def _watch(self) -> None:
        while True:
            time.sleep(ALIVE_SECONDS)
            if reason := self._pulse.tick(ALIVE_SECONDS, ready=self.ready):
                log.error("process_ends", process="edge", exit_code=1, reason=reason)
                protect_standard_error().finish()
                os._exit(1)
