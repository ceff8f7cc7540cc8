"""One process of the server, kept alive: start, watch, restart with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any

import structlog

from twinserve_server.host.memory import cpu_seconds
from twinserve_server.host.standard_error import StandardError
from twinserve_server.ipc.process_config import document, environment
from twinserve_server.telemetry.relay import Relay

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 5.0
#: A process that lived this long starts afresh with the first back-off.
HEALTHY_SECONDS = 30.0
#: The exit code of a process that cannot ever start (bad artefact, used port).
HOPELESS = 3


class ChildProcess:
    """A supervised process. It talks to the supervisor over a socket pair whose end tells each that the other ended."""

    def __init__(
        self,
        name: str,
        module: str,
        configure: Callable[[int], Any],
        serve: Callable[[ChildProcess, socket.socket], Awaitable[None]],
        on_end: Callable[[ChildProcess], None],
        log_to: StandardError,
        inherits: Sequence[int] = (),
    ) -> None:
        """
        Args:
            name: for people and metrics.
            module: run as ``python -m module``.
            configure: the process's configuration, given the file descriptor of its control socket.
            serve: reads the control socket until it ends.
            on_end: told when the process has ended, planned or not.
            log_to: gets what the process writes to standard error.
            inherits: descriptors that it gets, under the same numbers.
        """
        self.name = name
        self.module = module
        self.pid = 0
        self.restarts = 0
        self.ready = False
        self.failure = ""
        self._configure = configure
        self._serve = serve
        self._on_end = on_end
        self._log = log_to
        self._inherits = inherits
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._past_cpu_seconds = 0.0
        self._last_cpu_seconds = 0.0
        # Scrapes read the CPU seconds in threads of their own.
        self._reading_cpu = threading.Lock()

    async def keep_alive(self) -> None:
        """Run the process, again whenever it ends unplanned, until :meth:`stop`."""
        backoff = FIRST_BACKOFF_SECONDS
        while not self._stopping:
            started = time.monotonic()
            try:
                code = await self._run()
            except OSError as error:
                # Out of memory, processes or descriptors: perhaps not for ever.
                self.failure = f"{self.name} cannot be started: {error}"
                log.warning("process_not_started", process=self.name, error=str(error))
                code = 1
            self.ready = False
            self._on_end(self)
            if self._stopping or (code == HOPELESS and not self.restarts):
                return
            if time.monotonic() - started > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            log.warning("process_ended", process=self.name, exit_code=code, restart_in_seconds=backoff)
            self.restarts += 1
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)

    def request_stop(self) -> None:
        """Ask the process to end (SIGTERM) and do not restart it."""
        self._stopping = True
        self._signal(signal.SIGTERM)

    def expect_end(self) -> None:
        """The process was told to end by other means: do not restart it."""
        self._stopping = True

    def kill(self) -> None:
        """End the process at once."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    def cpu_seconds(self) -> float:
        """CPU seconds of this process and of those it replaced; never falls."""
        with self._reading_cpu:
            if self.pid:
                with contextlib.suppress(ProcessLookupError, OSError):
                    self._last_cpu_seconds = max(self._last_cpu_seconds, cpu_seconds(self.pid))
            return self._past_cpu_seconds + self._last_cpu_seconds

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        with ExitStack() as until_started:
            ours, theirs = socket.socketpair()
            until_started.enter_context(ours)
            relay = Relay(self._log)
            until_started.callback(relay.started)
            with theirs:
                config = self._configure(theirs.fileno())
                self._process = process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    self.module,
                    env=environment(config) | ({"FORCE_COLOR": "1"} if self._log.isatty() else {}),
                    pass_fds=[theirs.fileno(), *self._inherits],
                    stdin=asyncio.subprocess.PIPE,
                    stderr=relay.writing,
                )
            until_started.pop_all()
            relay.started()
        self.pid = process.pid
        reading = asyncio.ensure_future(self._serve(self, ours))
        assert process.stdin is not None
        process.stdin.write(document(config))
        process.stdin.close()
        code = await process.wait()
        with self._reading_cpu:
            self._past_cpu_seconds += self._last_cpu_seconds
            self._last_cpu_seconds = 0.0
            self.pid = 0
        await reading
        return code
