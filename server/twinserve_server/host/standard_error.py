"""A standard error that neither raises nor blocks: a log that nobody reads must not stop a server."""

from __future__ import annotations

import io
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

STDERR: Final = 2
#: Bytes buffered for a slow reader; beyond that, lines are dropped.
MAX_WAITING_BYTES: Final = 256 << 10
#: Bytes per write: a pipe takes this much in one piece, or nothing.
WRITE_BYTES: Final = 4096
#: How long a process waits at exit for a slow reader.
END_SECONDS: Final = 1.0


class StandardError(io.TextIOBase):
    """Writes what the reader takes at once, buffers a little, and counts the lines it has to drop."""

    def __init__(self, descriptor: int = STDERR) -> None:
        self._descriptor = descriptor
        self._send = _unblocked(descriptor)
        self._waiting = bytearray()
        # Separate threads serve the metrics and draw a spinner.
        self._lock = threading.Lock()
        #: Lines dropped because nobody read them or the disk was full.
        self.lost = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of what is written."""
        return "utf-8"

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Write ``text``, or drop it; never raises."""
        self.write_bytes(text.encode(errors="backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Write ``data``, or drop it; never raises."""
        with self._lock:
            if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
                self._write_waiting()
            if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
                self.lost += data.count(b"\n")
                return
            self._waiting += data
            self._write_waiting()

    def flush(self) -> None:
        """Write the buffer as far as the reader takes it at once."""
        with self._lock:
            self._write_waiting()

    def finish(self) -> None:
        """Write the buffer, waiting a moment for a slow reader."""
        until = time.monotonic() + END_SECONDS
        while self._waiting and time.monotonic() < until:
            self.flush()
            time.sleep(0.01)

    def _write_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            try:
                sent = self._send(bytes(waiting[:WRITE_BYTES]))
            except BlockingIOError:
                return
            except OSError:
                self.lost += waiting.count(b"\n")
                waiting.clear()
                return
            del waiting[:sent]


def protect_standard_error() -> StandardError:
    """Replace ``sys.stderr`` with a :class:`StandardError`; a second call returns the first one.

    Closed standard descriptors are opened to ``/dev/null``: otherwise the next file or socket would get their number,
    and with it whatever is written to them.
    """
    if isinstance(sys.stderr, StandardError):
        return sys.stderr
    for descriptor in (0, 1, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # Takes the lowest free number, which is this one. Child processes inherit it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    made = StandardError()
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = made
    return made


def _unblocked(descriptor: int) -> Callable[[bytes], int]:
    """Writes to ``descriptor`` without waiting. Others share what it stands for, and must find it as they left it."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(descriptor))
        return lambda data: sock.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # not Linux, or a terminal of another user
            return lambda data: _write_if_ready(descriptor, data)
        return lambda data: os.write(own, data)
    return lambda data: os.write(descriptor, data)


def _write_if_ready(descriptor: int, data: bytes) -> int:
    if not select.select([], [descriptor], [], 0)[1]:
        raise BlockingIOError
    # A ready pipe takes at least this much on any Unix.
    return os.write(descriptor, data[:512])
