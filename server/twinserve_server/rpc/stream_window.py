"""The requests of a bidirectional stream that are in progress: answers leave in request order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from twinserve_server.engine.call import Call
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.callback import DirectStream

#: Requests of one stream that may be in flight at once; more are not read from the wire.
STREAM_WINDOW = 128


class StreamWindow:
    """Starts the requests of a stream as they arrive, and holds back answers until it is their turn."""

    def __init__(self, stream: DirectStream, deadline_ns: int, peer: str, on_ready: Callable[[], None]) -> None:
        """``on_ready`` is called when the answer whose turn it is has come."""
        self.stream = stream
        self.peer = peer
        self._deadline_ns = deadline_ns
        self._on_ready = on_ready
        self._slots: deque[_Slot] = deque()
        self._images = self._bytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def full(self) -> bool:
        """Whether no more requests should be read for now."""
        slots, window = len(self._slots), self.stream.window
        return (
            slots >= STREAM_WINDOW
            or slots >= window.requests
            or self._images >= window.images
            or self._bytes >= window.bytes
        )

    def add(self, raw: bytes) -> None:
        """Start the request ``raw``."""
        slot = _Slot(self)
        self._slots.append(slot)
        (call,) = self.stream.method.begin_all(((raw, self._deadline_ns, slot),))
        if call is not None and call.job is not None:
            slot.call = call
            slot.images, slot.bytes = call.job.count, len(call.job.data)
            self._images += slot.images
            self._bytes += slot.bytes

    def pop(self) -> bytes | None:
        """The next answer, if it has come."""
        slots = self._slots
        if not slots or slots[0].response is None:
            return None
        slot = slots.popleft()
        self._images -= slot.images
        self._bytes -= slot.bytes
        return slot.response

    def close(self, why: Callable[[int, int], TwinserveError]) -> None:
        """The stream is over: what has not started will not run; ``why(started_ns, deadline_ns)`` tells why."""
        # The call that is notified refers to this window: as a cycle, both would wait for the garbage collector, and
        # gRPC core counts a call as open on its connection until it is released.
        self._on_ready = lambda: None
        slots, self._slots = self._slots, deque()
        for slot in slots:
            slot.window = None
            if slot.response is None and slot.call is not None:
                self.stream.method.abandon(slot.call, why(slot.started_ns, self._deadline_ns))

    def on_slot(self, slot: _Slot) -> None:
        """``slot`` has its answer."""
        if self._slots and self._slots[0] is slot:
            self._on_ready()


class _Slot:
    """One request of the stream: its exchange."""

    __slots__ = ("bytes", "call", "images", "peer", "response", "started_ns", "window")

    def __init__(self, window: StreamWindow) -> None:
        self.window: StreamWindow | None = window
        self.peer = window.peer
        self.call: Call | None = None
        self.images = self.bytes = 0
        self.response: bytes | None = None
        self.started_ns = time.monotonic_ns()

    def answer(self, response: bytes) -> None:
        if self.window is not None:
            self._take(self.window, self.window.stream.wrap_answer(response))

    def refuse(self, error: TwinserveError, request_id: str = "") -> None:
        if self.window is not None:
            self._take(self.window, self.window.stream.wrap_refusal(error, request_id))

    def _take(self, window: StreamWindow, response: bytes) -> None:
        self.response = response
        self.call = None
        window.on_slot(self)
