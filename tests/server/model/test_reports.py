"""A model process says that it lives, also while a forward pass takes long: slow is not dead."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import torch

from support.odd_artefacts import script
from twinserve_server.model.reports import Reports


def said(sock: socket.socket) -> int:
    """Lines that have come."""
    try:
        return sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT).count(b"\n")
    except BlockingIOError:
        return 0


def test_a_process_says_how_long_its_batch_has_run_and_that_it_is_idle_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("r") as lines:
        reports = Reports(theirs)
        reports.keep_alive()
        module = script("for _ in range(int(x.size(0))):\n    x = torch.mm(x, x)\nreturn x")
        reports.busy_since_ns = time.perf_counter_ns()
        with torch.inference_mode():
            while said(ours) < 2:
                module(torch.eye(300))
        reports.busy_since_ns = 0
        reports.send("ready")
        told: list[dict[str, Any]] = []
        while not told or told[-1]["event"] == "alive":
            told.append(json.loads(lines.readline()))
        busy = [line["busy_seconds"] for line in told[:-1]]
        assert len(busy) >= 2
        assert busy == sorted(busy)
        assert busy[0] > 0
        assert json.loads(lines.readline()) == {"event": "alive", "busy_seconds": 0.0}
