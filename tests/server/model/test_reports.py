"""A model process says that it lives, also while a forward pass takes long: slow is not dead."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import torch

from support.odd_artefacts import script
from twinserve_server.ipc.codec import Frames
from twinserve_server.ipc.messages import Alive, FromModel, WarmingUp
from twinserve_server.model.reports import Reports


def told(sock: socket.socket) -> Iterator[FromModel]:
    """What is said, as it comes."""
    frames: Frames[tuple[int, FromModel]] = Frames(tuple[int, FromModel])
    while data := sock.recv(1 << 16):
        yield from (message for _, message in frames.feed(data))


def waits(sock: socket.socket) -> int:
    """Bytes that have come and nobody has read."""
    try:
        return len(sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return 0


def test_a_process_says_how_long_its_batch_has_run_and_that_it_is_idle_again() -> None:
    ours, theirs = socket.socketpair()
    orphaned = threading.Event()
    with ours, theirs:
        reports = Reports(theirs, orphaned.set)
        said = told(ours)
        reports.keep_alive()
        module = script("for _ in range(int(x.size(0))):\n    x = torch.mm(x, x)\nreturn x")
        assert next(said) == Alive(0.0)
        reports.busy_since_ns = time.perf_counter_ns()
        with torch.inference_mode():
            # Each says it in some twenty bytes.
            while waits(ours) < 60:
                module(torch.eye(300))
        reports.busy_since_ns = 0
        reports.send(WarmingUp(1, 2))
        busy: list[float] = []
        while isinstance(message := next(said), Alive):
            busy.append(message.busy_seconds)
        assert message == WarmingUp(1, 2)
        busy = [seconds for seconds in busy if seconds]
        assert len(busy) >= 2
        assert busy == sorted(busy)
        while not isinstance(message := next(said), Alive):
            pass
        assert message == Alive(0.0)
    # Nobody listens any more.
    assert orphaned.wait(60)
