"""The public interface of the load generator: blocks of load in, records out.

Locust runs in a separate process (:mod:`twinserve_loadtest.generate.worker`), which lives as long as the
generator; a block costs it a message and, if the number of users changes, their connections.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from twinserve_host.python import environment, python
from twinserve_loadtest.generate.record import BlockRecord
from twinserve_loadtest.record.testset import FILE_NAME, save_test_set
from twinserve_loadtest.record.wire import from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.target.servers import Servers

SILENCE_SECONDS = 60.0
"""A worker at work reports four times a second; one that is silent for this long hangs."""
EXIT_SECONDS = 10.0
CHUNK = 1 << 16


class GeneratorError(Exception):
    """The load generator's process failed; the message says how."""


class LoadGenerator:
    """Sends blocks of load to one server, or to several in turn, one block after another.

    Example::

        with LoadGenerator(servers_of("127.0.0.1:8500"), test_set) as generator:
            record = generator.run(BlockSpec.open("int8", rate=300, seconds=3, seed=7))
            record.tally().histogram.get_value_at_percentile(99)  # µs

    Args:
        servers: See :func:`twinserve_loadtest.target.servers.servers_of`.
        test_set: The images that are sent, and their labels.
        model: None: the server's default model.
    """

    def __init__(self, servers: Servers, test_set: TestSet, *, model: str | None = None) -> None:
        self._servers = servers
        self._test_set = test_set
        self._model = model
        self._buffer = bytearray()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="twinserve-loadtest-")
            folder = Path(self._scratch.name)
            save_test_set(self._test_set, folder / FILE_NAME)
        except OSError as error:
            self.close()
            raise GeneratorError(
                f"the test set cannot be written to a temporary folder ({error.strerror or error}); make room there, "
                "or name another folder with TMPDIR"
            ) from None
        self._log = folder / "worker.log"
        # gevent's timers have a resolution of a millisecond with epoll and of microseconds with select; the worker
        # watches only a handful of descriptors (gRPC polls its own).
        coarse = environment(GEVENT_BACKEND="select")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                python("-m", "twinserve_loadtest.generate.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=coarse,
                process_group=0,  # a Ctrl-C at the terminal is ours to handle
            )
        try:
            self._order(
                {
                    "servers": [to_plain(server) for server in self._servers],
                    "model": self._model,
                    "test_set": str(folder / FILE_NAME),
                }
            )
            self._answer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the generator's process.

        Raises:
            GeneratorError: it is not running.
        """
        return self._running().pid

    def run(self, spec: BlockSpec, on_progress: Callable[[int, float], None] | None = None) -> BlockRecord:
        """Run one block and return its record.

        A failing server shows up in the record (failures by status, ``aborted``), not as an exception.

        Args:
            spec: The block.
            on_progress: Called about four times a second with the requests ended and the seconds gone.

        Raises:
            GeneratorError: the generator's own process failed.
        """
        self._order(to_plain(spec))
        while True:
            message = self._answer()
            if "record" in message:
                return from_plain(BlockRecord, message["record"])
            if on_progress is not None:
                on_progress(message["progress"]["requests"], message["progress"]["seconds"])

    def close(self) -> None:
        """End the process; a running block is cut off."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            try:
                process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _order(self, message: dict[str, Any]) -> None:
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def _answer(self) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        deadline = time.monotonic() + SILENCE_SECONDS
        while (end := self._buffer.find(b"\n")) < 0:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise GeneratorError(f"the load generator has been silent for {SILENCE_SECONDS:g} s; it is stopped")
            chunk = os.read(descriptor, CHUNK)
            if not chunk:
                raise self._failure()
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise GeneratorError("the load generator is not running; use it in a `with` block")
        return self._process

    def _failure(self) -> GeneratorError:
        code = self._running().wait(EXIT_SECONDS)
        words = self._log.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else "it left no message"
        return GeneratorError(f"the load generator ended with exit code {code}: {last}")
