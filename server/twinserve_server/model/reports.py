"""What a model process tells the supervisor, as lines of JSON on the control socket."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Final

#: How often a process says that it lives. It does so during a forward pass, too, however long that takes.
ALIVE_SECONDS: Final = 1.0


class Reports:
    """One process's reports; any thread may send them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._sending = threading.Lock()
        #: When the forward pass that runs now began (``time.perf_counter_ns``); 0: none does.
        self.busy_since_ns = 0

    def send(self, event: str, **fields: Any) -> None:
        """Tell one event."""
        line = json.dumps({"event": event, **fields}).encode() + b"\n"
        with self._sending:
            self._control.sendall(line)

    def keep_alive(self) -> None:
        """From now on say once a second ``{"event": "alive", "busy_seconds": x}``: how long the batch that runs has
        taken, 0 while none does. A process that is busy is slow; one that is silent has stopped."""
        threading.Thread(target=self._beat, name="alive", daemon=True).start()

    def _beat(self) -> None:
        # The supervisor is gone: the main thread sees that, too.
        with contextlib.suppress(OSError):
            while True:
                time.sleep(ALIVE_SECONDS)
                since_ns = self.busy_since_ns
                busy_ns = time.perf_counter_ns() - since_ns if since_ns else 0
                self.send("alive", busy_seconds=round(busy_ns / 1e9, 3))
