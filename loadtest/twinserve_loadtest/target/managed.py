"""A server that is started for a while and certainly stopped again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from twinserve_host.python import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

READY_SECONDS = 120.0
STOP_SECONDS = 30.0


class ServerStartError(Exception):
    """The server did not start; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    target: str
    metrics_url: str


class ManagedServer:
    """``twinserve serve`` on free ports, drained and waited for on exit.

    Args:
        command: The program and its arguments, without ports and ready file.
        log: Where its output goes; None: into a file that is removed with it.
    """

    def __init__(self, command: Sequence[str], log: Path | None = None) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="twinserve-server-")
        except OSError as error:
            raise ServerStartError(
                f"no temporary folder can be made for the server ({error.strerror or error}); make room there, or name "
                "another folder with TMPDIR"
            ) from None
        self._log = log or Path(self._scratch.name) / "server.log"

    def __enter__(self) -> Self:
        ready = Path(self._scratch.name) / "ready.json"
        flags = ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready)]
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            log = self._log.open("wb")
        except OSError as error:
            raise ServerStartError(f"{self._log}: the server's log cannot be written ({error.strerror})") from None
        with log:
            self._process = subprocess.Popen(
                [*self._command, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                process_group=0,  # a Ctrl-C at the terminal is ours to handle: drain it, then stop
            )
        try:
            self.address = self._wait(ready)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL to its group when it does not end; the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        with _deaf_to_ctrl_c():
            process.terminate()
            try:
                return process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
            finally:
                self._scratch.cleanup()

    def _wait(self, ready: Path) -> Address:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self._process.poll() is not None:
                raise ServerStartError(
                    f"the server ended with exit code {self._process.returncode}: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise ServerStartError(f"the server was not ready after {READY_SECONDS:g} s: {self._last_words()}")
            time.sleep(0.05)
        ports = json.loads(ready.read_text())
        return Address(f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['metrics_port']}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]) or "it left no message"


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A second Ctrl-C must not leave a server behind; only the main thread hears it at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
