"""A server of our own for the time of a comparison: started on free ports, drained at the end.

The load test knows the server by its command line and its ready file only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

READY_SECONDS = 120.0
_GRACE_SECONDS = 15.0


class ServerStartError(Exception):
    """The server did not become ready; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    target: str
    metrics_url: str


class LocalServer:
    """``twinserve serve`` as a child process; a context manager.

    Args:
        models: model folder.
        variants: the only ones to serve: another variant's process would share the cores.
        threads: of a forward pass.
        batching: whether requests are batched dynamically.
    """

    def __init__(self, models: Path, variants: list[str], *, threads: int = 1, batching: bool = True) -> None:
        self._arguments = [
            *("--models", str(models)),
            *("--port", "0", "--metrics-port", "0"),
            *("--variants", ",".join(dict.fromkeys(variants))),
            *("--threads", str(threads)),
            "--batching" if batching else "--no-batching",
            "--no-build",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._address: Address | None = None

    @property
    def address(self) -> Address:
        """Where it listens, once entered."""
        assert self._address is not None
        return self._address

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="twinserve-compare-")
        folder = Path(self._scratch.name)
        ready = folder / "ready.json"
        with (folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "twinserve_server", *self._arguments, "--ready-file", str(ready)],
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # a Ctrl-C at the terminal is ours to handle
            )
        try:
            self._wait(ready, folder / "server.log")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drain and stop the server."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _wait(self, ready: Path, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self._process.poll() is not None:
                raise ServerStartError(
                    f"the server ended with exit code {self._process.returncode}:\n{_last_words(log)}"
                )
            if time.monotonic() > deadline:
                raise ServerStartError(f"the server was not ready after {READY_SECONDS:g} s:\n{_last_words(log)}")
            time.sleep(0.05)
        ports = json.loads(ready.read_text("utf-8"))
        self._address = Address(f"127.0.0.1:{ports['grpc_port']}", f"http://127.0.0.1:{ports['metrics_port']}")


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-8:]) or "it left no message"
