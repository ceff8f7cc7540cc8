"""gRPC core's completion queue on the asyncio loop.

gRPC core reads, parses and writes in the thread that polls its completion queue, and watches its sockets with an epoll
set of its own. That set is a file descriptor, so the asyncio loop watches it like any socket: when it becomes readable,
the queue is polled until it is empty. No thread, and no polling while idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from grpc._cython import cygrpc

from twinserve_server.structured_log import structlog

log = structlog.get_logger()

#: The tag of an operation: called with the event when the operation is complete.
Tag = Callable[[Any], None]

#: How long events are handled before the loop checks its other descriptors: answers from model processes are
#: worth more than further requests.
TURN_NS: Final = 5_000_000
#: A poll handles one socket and may return nothing although others are ready: this many in a row mean empty.
EMPTY_POLLS: Final = 3
#: Sometimes it is not empty (many sockets had news without an event), and gRPC core opens new connections in its own
#: thread, which may read a first request: neither wakes the loop again. So the loop checks again by itself: once after
#: a wake that brought events, a few times, at doubling intervals, after one that brought none.
RECHECK_SECONDS: Final = 0.002
FIRST_RECHECK_SECONDS: Final = 0.00025
#: gRPC core's timers (deadlines, keepalive) do not wake the loop either: their effects are found after this long.
HOUSEKEEPING_SECONDS: Final = 0.02


class QueueLoop:
    """A completion queue whose events are handled on the running asyncio loop."""

    def __init__(self) -> None:
        self.queue = cygrpc.CompletionQueue()
        #: Called every ``HOUSEKEEPING_SECONDS``.
        self.on_housekeeping: Callable[[], None] = _nothing
        self._loop = asyncio.get_running_loop()
        #: The descriptor of gRPC core's epoll set.
        self.poller = -1
        self._polling = False
        self._gathering = False
        self._poll_due = False
        self._at_pause: list[Callable[[], None]] = []
        self._at_end: list[Callable[[], None]] = []
        self._recheck: asyncio.TimerHandle | None = None
        self._housekeeping: asyncio.TimerHandle | None = None

    def attach(self, poller: int) -> None:
        """Watch ``poller``."""
        self.poller = poller
        self._loop.add_reader(poller, self._wake)
        self._keep_house()
        self.soon()

    def detach(self) -> None:
        """Stop watching; end the queue, whose operations must all be complete."""
        self._loop.remove_reader(self.poller)
        for timer in (self._recheck, self._housekeeping):
            if timer is not None:
                timer.cancel()
        self.queue.shutdown()
        until = time.time() + 1.0
        while (event := self.queue.poll(until)).completion_type != cygrpc.CompletionType.queue_shutdown:
            if event.tag is None:
                return

    def soon(self) -> None:
        """Look at the queue before the loop waits again: an operation that was just started may be complete already."""
        if not self._polling and not self._poll_due:
            self._poll_due = True
            self._loop.call_soon(self._poll)

    def later(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` once everything that has arrived together is taken in."""
        if self._gathering:
            self._at_end.append(callback)
        else:
            self._loop.call_soon(callback)

    def at_pause(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` when the events run out; those of the operation it starts belong to the same turn.

        After an operation that completes at once, a poll returns nothing without a look at the sockets: it is better to
        start several together.
        """
        self._at_pause.append(callback)

    def _wake(self) -> None:
        handled = self._poll()
        if self._recheck is None:
            delay = RECHECK_SECONDS if handled else FIRST_RECHECK_SECONDS
            self._recheck = self._loop.call_later(delay, self._check_again, delay)

    def _check_again(self, delay: float) -> None:
        self._recheck = None
        if not self._poll() and 2 * delay < HOUSEKEEPING_SECONDS:
            self._recheck = self._loop.call_later(2 * delay, self._check_again, 2 * delay)

    def _poll(self) -> int:
        """Handle events until there are none; how many there were."""
        self._poll_due = False
        self._polling = self._gathering = True
        poll = self.queue.poll
        empty = handled = 0
        until_ns = time.monotonic_ns() + TURN_NS
        while empty < EMPTY_POLLS and not (late := time.monotonic_ns() > until_ns):
            event = poll(0)
            tag = event.tag
            if tag is None:
                if self._at_pause:
                    _run(self._at_pause)
                else:
                    empty += 1
                continue
            empty = 0
            handled += 1
            try:
                tag(event)
            except Exception:
                log.exception("grpc_event_failed")
        # An event may hold the last reference to a call: it must go before the next wait.
        event = tag = None
        _run(self._at_pause)
        self._polling = False
        while self._at_end:
            _run(self._at_end)
        self._gathering = False
        if late:
            self.soon()
        return handled

    def _keep_house(self) -> None:
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_SECONDS, self._keep_house)
        self.on_housekeeping()
        self._poll()


def _run(callbacks: list[Callable[[], None]]) -> None:
    """Call all ``callbacks`` and empty the list first: they may add to it."""
    due = callbacks.copy()
    callbacks.clear()
    for callback in due:
        try:
            callback()
        except Exception:
            log.exception("grpc_event_failed")


def _nothing() -> None:
    pass
