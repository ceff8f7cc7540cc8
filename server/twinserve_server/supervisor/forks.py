"""Has model processes forked from one that has imported what they need: see ``model/fork_server.py``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from twinserve_server.host.adoption import adopt_orphans
from twinserve_server.host.standard_error import StandardError
from twinserve_server.ipc.codec import frame
from twinserve_server.ipc.fork_line import PID
from twinserve_server.ipc.process_config import ProcessConfig, model_variables
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.launch import Launched, run_module
from twinserve_server.telemetry.relay import Relay

log = structlog.get_logger()

#: For one fork, and for importing the libraries before the first one, perhaps from a slow disk.
FORK_SECONDS: Final = 10.0
IMPORT_SECONDS: Final = 120.0


class ForkServer:
    """Forks model processes; started when the first one is wanted, and again should it have ended."""

    def __init__(self, runtimes: Iterable[str], log_to: StandardError) -> None:
        """
        Args:
            runtimes: those to import before the first fork.
            log_to: receives its standard error.
        """
        self._runtimes = sorted(set(runtimes))
        self._log = log_to
        self._process: asyncio.subprocess.Process | None = None
        self._line: socket.socket | None = None
        self._forking = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Its PID; 0: it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def launch(
        self, config: ProcessConfig, control: socket.socket, memory: Sequence[int], standard_error: int
    ) -> Launched:
        """Have a process forked; arguments and errors as ``Launch`` has them."""
        descriptors = [standard_error, control.fileno(), *memory]
        async with self._forking:
            if self._line is not None and not self.pid:
                await self._replace("ended")
            try:
                pid = await self._fork(config, descriptors)
            except (ConnectionError, TimeoutError) as error:
                # It may have forked. That process ends with its control line: the next attempt has another one.
                hung = isinstance(error, TimeoutError)
                await self._replace("hung" if hung else "ended")
                why = "did not answer in time" if hung else "ended; is there enough memory for it?"
                raise OSError(f"its fork server {why}") from None
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return Adopted(pid)

    async def end(self) -> None:
        """End it. What it has forked lives on."""
        process, self._process = self._process, None
        if self._line is not None:
            self._line.close()
            self._line = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _replace(self, reason: str) -> None:
        log.warning("fork_server_replaced", reason=reason)
        await self.end()

    async def _fork(self, config: ProcessConfig, descriptors: list[int]) -> int:
        """A process's PID or, below 0, the number of the error that it was answered."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(FORK_SECONDS if self._line is not None else IMPORT_SECONDS):
            if self._line is None:
                self._line = await self._start()
            request = memoryview(frame(config))
            # All earlier requests have been answered, so there is room for the start of this one.
            sent = socket.send_fds(self._line, [request], descriptors)
            await loop.sock_sendall(self._line, request[sent:])
            answer = await loop.sock_recv(self._line, PID.size)
        if not answer:
            raise ConnectionError("the fork server has ended")
        return int(PID.unpack(answer)[0])

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        relay = Relay(self._log)
        # Threads that numpy starts when it is imported would not survive a fork, and nothing here uses them.
        variables = {"OPENBLAS_NUM_THREADS": "1", **model_variables()}
        try:
            with theirs:
                self._process = await run_module(
                    "twinserve_server.model.fork_server",
                    variables,
                    self._log,
                    *self._runtimes,
                    stdin=theirs.fileno(),
                    stderr=relay.writing,
                )
        except BaseException:
            ours.close()
            raise
        finally:
            relay.started()
        ours.setblocking(False)
        return ours


class Adopted:
    """A process whose parent has ended, which made it a child of this one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._watched = os.pidfd_open(pid)
        loop.add_reader(self._watched, self._reap)

    async def wait(self) -> int:
        """Wait for its end; returns its exit code, or minus the number of the signal that ended it."""
        return await asyncio.shield(self._ended)

    def send_signal(self, signal: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self._ended.done():
            os.kill(self.pid, signal)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watched)
        os.close(self._watched)
        _, status = os.waitpid(self.pid, 0)
        self._ended.set_result(os.waitstatus_to_exitcode(status))


def fork_server(runtimes: Iterable[str], log_to: StandardError) -> ForkServer | None:
    """A fork server, where the system lets a process adopt what another one has forked."""
    return ForkServer(runtimes, log_to) if adopt_orphans() else None
