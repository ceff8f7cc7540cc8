"""How a process of the server is started: its module is run, or (``forks.py``) it is forked."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from twinserve_host.python import environment, python
from twinserve_server.host.standard_error import StandardError
from twinserve_server.ipc.process_config import ProcessConfig, document

#: Signals that a terminal, a service manager or `timeout` sends to all processes of a server at once. Only the
#: supervisor handles them, and tells the others when to end.
_SUPERVISORS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launched(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its PID."""

    async def wait(self) -> int:
        """Wait for its end; returns its exit code, or minus the number of the signal that ended it."""

    def send_signal(self, signal: int) -> None:
        """Send it a signal.

        Raises:
            ProcessLookupError: it has ended.
        """


#: Starts a process from its configuration, its end of the control line, the descriptors of the memory for its metrics,
#: and the descriptor that becomes its standard error; raises OSError if it cannot.
Launch = Callable[[ProcessConfig, socket.socket, Sequence[int], int], Awaitable[Launched]]


def runs(module: str, log_to: StandardError) -> Launch:
    """Starts processes as ``python -m module``, with their configuration on standard input."""

    async def launch(
        config: ProcessConfig, control: socket.socket, memory: Sequence[int], standard_error: int
    ) -> Launched:
        descriptors = [control.fileno(), *memory]
        process = await run_module(
            module, config.variables, log_to, stdin=asyncio.subprocess.PIPE, stderr=standard_error, pass_fds=descriptors
        )
        assert process.stdin is not None
        process.stdin.write(document(config))
        process.stdin.close()
        return process

    return launch


async def run_module(
    module: str, variables: Mapping[str, str], log_to: StandardError, *arguments: str, **files: Any
) -> asyncio.subprocess.Process:
    """Start ``python -m module``.

    Args:
        module: its name.
        variables: environment variables, beside those of this process.
        log_to: where its log will end.
        arguments: of the module.
        files: as ``asyncio.create_subprocess_exec`` takes them.

    Raises:
        OSError: it cannot be started.
    """
    colours = {"FORCE_COLOR": "1"} if log_to.isatty() else {}
    # The process inherits the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SUPERVISORS)
    try:
        return await asyncio.create_subprocess_exec(
            *python("-m", module, *arguments), env=environment(**variables, **colours), **files
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
