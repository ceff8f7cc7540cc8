"""A server that is started for a while and certainly stopped again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

READY_SECONDS = 120.0
STOP_SECONDS = 30.0


class ServerError(Exception):
    """The server did not start; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What the server wrote once it was ready."""

    target: str
    metrics_url: str


class ManagedServer:
    """``twinserve serve`` on free ports, drained and waited for on exit.

    Args:
        command: The program and its arguments, without ports and ready file.
        log: Where its output goes.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="twinserve-demo-")

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        ready = Path(self._scratch.name) / "ready.json"
        flags = ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # a Ctrl-C at the terminal is ours to handle: drain it, then stop
            )
        try:
            self.ready = self._wait(ready)
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
        # A second Ctrl-C must not leave a server behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if process.poll() is None:
                process.terminate()
            try:
                return process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
            self._scratch.cleanup()

    def _wait(self, ready: Path) -> Ready:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self._process.poll() is not None:
                words = self._log.read_text(errors="replace").strip().splitlines()[-5:]
                raise ServerError(f"the server ended with exit code {self._process.returncode}: " + "\n".join(words))
            if time.monotonic() > deadline:
                raise ServerError(f"the server was not ready within {READY_SECONDS:g} s; its log is {self._log}")
            time.sleep(0.05)
        ports = json.loads(ready.read_text())
        return Ready(f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['metrics_port']}")
