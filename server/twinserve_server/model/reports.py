"""A model process's messages to the supervisor."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from twinserve_server.ipc.codec import frame
from twinserve_server.ipc.messages import ALIVE_SECONDS, Alive, FromModel

#: How long the main thread may take to end by itself once the supervisor has gone.
ORPHAN_SECONDS: Final = 4.0


def end_orphan() -> None:
    """End this process, whose supervisor is gone: the main thread sees that, too, unless a forward pass keeps it."""
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


class Reports:
    """One process's reports; any thread may send them."""

    def __init__(self, control: socket.socket, end: Callable[[], None] = end_orphan) -> None:
        """``end``: called, once, by the thread that finds the supervisor gone."""
        self._control = control
        self._end = end
        self._sending = threading.Lock()
        #: When the current forward pass began (``time.perf_counter_ns``); 0: none does.
        self.busy_since_ns = 0

    def send(self, message: FromModel) -> None:
        """Tell one message.

        Raises:
            OSError: the supervisor is gone.
        """
        with self._sending:
            self._control.sendall(frame((0, message)))

    def keep_alive(self) -> None:
        """From now on say every ``ALIVE_SECONDS`` that the process is at work, and how long the forward pass that runs
        has taken. A process that is busy is slow; one that is silent has stopped."""
        threading.Thread(target=self._beat, name="alive", daemon=True).start()

    def _beat(self) -> None:
        while True:
            since_ns = self.busy_since_ns
            try:
                self.send(Alive((time.perf_counter_ns() - since_ns) / 1e9 if since_ns else 0.0))
            except OSError:
                self._end()
                return
            time.sleep(ALIVE_SECONDS)
