"""Keeps one process of the server alive: start, watch, restart with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any

from twinserve_server.host.memory import cpu_seconds
from twinserve_server.host.standard_error import StandardError
from twinserve_server.ipc.control import CHILD_SECONDS, ControlLine
from twinserve_server.ipc.messages import Message
from twinserve_server.ipc.process_config import ProcessConfig
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.launch import Launch, Launched
from twinserve_server.supervisor.pulse import ENDED, Pulse
from twinserve_server.telemetry.relay import Relay

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 5.0
#: After a process has lived this long, its back-off starts over.
HEALTHY_SECONDS = 30.0
#: The exit code of a process that cannot start (bad artefact, port in use).
HOPELESS = 3


class ChildProcess:
    """A supervised process. When the control line closes, each side knows that the other has ended."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        configure: Callable[[int], ProcessConfig],
        takes: Any,
        on_message: Callable[[ChildProcess, Any], Awaitable[Message | None]],
        on_end: Callable[[ChildProcess], None],
        pulse: Pulse,
        log_to: StandardError,
        memory: Sequence[int],
    ) -> None:
        """
        Args:
            name: for people and metrics.
            launch: starts it.
            configure: the process's configuration, given the file descriptor of its control socket.
            takes: the union of the messages that the process may send.
            on_message: called with each of them; its return value answers a question.
            on_end: called when the process has ended, planned or not.
            pulse: tracks its heartbeat.
            log_to: receives the process's standard error.
            memory: the descriptors of the memory for its metrics.
        """
        self.name = name
        self.pid = 0
        #: How often it was restarted, by reason (see ``pulse``).
        self.restarts: Counter[str] = Counter()
        self.ready = False
        self.failure = ""
        #: Its last exit code; negative: a signal; None: it has not ended yet.
        self.exit_code: int | None = None
        self.pulse = pulse
        self.line: ControlLine | None = None
        self._configure = configure
        self._takes = takes
        self._on_message = on_message
        self._on_end = on_end
        self._log = log_to
        self._launch = launch
        self._memory = memory
        self._process: Launched | None = None
        self._stopping = asyncio.Event()
        self._replaced_for = ""
        self._past_cpu_seconds = 0.0
        self._last_cpu_seconds = 0.0
        # Scrapes read the CPU seconds in separate threads.
        self._reading_cpu = threading.Lock()

    async def keep_alive(self) -> None:
        """Run the process, restarting it whenever it ends unplanned, until :meth:`expect_end` or :meth:`kill`."""
        backoff = FIRST_BACKOFF_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            self._replaced_for = self.failure = ""
            try:
                code = await self._run()
            except OSError as error:
                # Out of memory, processes or descriptors, perhaps only for now.
                self.failure = f"{self.name} cannot be started: {error}"
                code = 1
            self.ready = False
            self.exit_code = code
            self._on_end(self)
            if self._stopping.is_set() or (code == HOPELESS and not self.restarts):
                return
            if time.monotonic() - started > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            reason = self._replaced_for or ENDED
            self.restarts[reason] += 1
            log.warning(
                "process_ended",
                process=self.name,
                exit_code=code,
                reason=self.failure or reason,
                restart_in_seconds=backoff,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)

    def tell(self, message: Message) -> bool:
        """Send a message; returns False if the process is not running."""
        try:
            if self.line is None:
                return False
            self.line.notify(message)
        except ConnectionError:
            return False
        return True

    def expect_end(self) -> None:
        """The process is expected to end from now on: do not restart it."""
        self._stopping.set()

    async def hang_up(self) -> None:
        """Close the control line: the process finishes its requests and ends. One that is not ready yet is killed."""
        self.expect_end()
        if self.ready and self.line is not None:
            with contextlib.suppress(OSError):
                await self.line.close()
        else:
            self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once."""
        self.expect_end()
        self._signal(signal.SIGKILL)

    def replace(self, reason: str) -> None:
        """End the process at once and start another one."""
        self._replaced_for = reason
        self._signal(signal.SIGKILL)

    def cpu_seconds(self) -> float:
        """CPU seconds of this process and of those it replaced; never decreases."""
        with self._reading_cpu:
            if self.pid:
                with contextlib.suppress(ProcessLookupError, OSError):
                    self._last_cpu_seconds = max(self._last_cpu_seconds, cpu_seconds(self.pid))
            return self._past_cpu_seconds + self._last_cpu_seconds

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        self.pulse.restart()
        with ExitStack() as until_started:
            ours, theirs = socket.socketpair()
            until_started.enter_context(ours)
            relay = Relay(self._log)
            until_started.callback(relay.started)
            with theirs:
                config = self._configure(theirs.fileno())
                self._process = process = await self._launch(config, theirs, self._memory, relay.writing)
            until_started.pop_all()
            relay.started()
        self.pid = process.pid
        if self._stopping.is_set():
            self._signal(signal.SIGKILL)
        self.line = ControlLine(self._takes, self._handle, CHILD_SECONDS)
        reading = asyncio.ensure_future(self.line.serve(ours))
        code = await process.wait()
        with self._reading_cpu:
            self._past_cpu_seconds += self._last_cpu_seconds
            self._last_cpu_seconds = 0.0
            self.pid = 0
        await reading
        self.line = None
        return code

    async def _handle(self, message: Message) -> Message | None:
        return await self._on_message(self, message)
