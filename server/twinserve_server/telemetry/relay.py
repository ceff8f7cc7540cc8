"""Forwards a process's standard error, in whole lines."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from twinserve_server.host.standard_error import StandardError

READ_BYTES: Final = 1 << 16
#: A longer line is forwarded in pieces.
MAX_LINE_BYTES: Final = 1 << 16


class Relay:
    """Reads one process's standard error on the running loop, so that the process never waits for the log's reader."""

    def __init__(self, target: StandardError) -> None:
        self._target = target
        self._rest = b""
        self._reading, self.writing = os.pipe()
        # Nor for this loop if it should hang: its lines are then lost.
        os.set_blocking(self.writing, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def started(self) -> None:
        """The process has ``writing``: when it ends, so does the pipe."""
        os.close(self.writing)

    def _read(self) -> None:
        data = os.read(self._reading, READ_BYTES)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if not data or len(self._rest) > MAX_LINE_BYTES:
            whole, newline, self._rest = whole + newline + self._rest, b"\n" if self._rest else b"", b""
        if whole or newline:
            self._target.write_bytes(whole + newline)
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
