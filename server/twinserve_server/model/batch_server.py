"""Answers the batches that gateways send over a Unix socket, one forward pass at a time.

Frames that have arrived from several gateways share a forward pass.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from twinserve_server.engine import frames
from twinserve_server.engine.job import BatchTiming, Buffer
from twinserve_server.ipc.addresses import is_ours
from twinserve_server.model.forward import Forward
from twinserve_server.model.reports import Reports
from twinserve_server.model.rescue import Outcome, PassRecorder, run_batch


class Waiting(NamedTuple):
    """One gateway's batch, waiting for its turn."""

    peer: Peer
    request: frames.Request
    arrived_ns: int


@dataclass(slots=True, eq=False)
class Peer:
    """One gateway."""

    sock: socket.socket
    reader: frames.FrameReader[frames.Request] = field(default_factory=frames.read_requests)
    unsent: bytearray = field(default_factory=bytearray)


class BatchServer:
    """Serves :class:`Forward` to the gateways on a Unix socket, one forward pass at a time."""

    def __init__(
        self,
        forward: Forward,
        listener: socket.socket,
        control: socket.socket,
        merge_limit: int,
        recorder: PassRecorder,
        reports: Reports,
    ) -> None:
        """``merge_limit``: frames share a forward pass up to so many images; 0: each has one of its own."""
        self._forward = forward
        self._item_bytes = {datatype: forward.version.item_bytes(datatype) for datatype in forward.version.datatypes}
        self._recorder = recorder
        self._reports = reports
        self._merge_limit = merge_limit
        self._waiting: deque[Waiting] = deque()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._control = control
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Answer batches until the control line ends; then those that have arrived."""
        while not self._stopping or self._waiting:
            self._poll(0 if self._waiting else None)
            if self._waiting:
                self._run_batch()

    def _poll(self, timeout: float | None) -> None:
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._listener:
                sock, _ = self._listener.accept()
                if not is_ours(sock):
                    sock.close()
                    continue
                sock.setblocking(False)
                peer = Peer(sock)
                self._selector.register(sock, selectors.EVENT_READ, peer)
                self._send(peer, frames.hello())
            elif key.fileobj is self._control:
                # The supervisor sends nothing else; unread data at its end appears as a connection reset.
                with contextlib.suppress(ConnectionResetError):
                    if self._control.recv(4096):
                        continue
                self._stopping = True
                self._selector.unregister(self._control)
            elif events & selectors.EVENT_WRITE:
                self._flush(key.data)
            else:
                self._receive(key.data)

    def _receive(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(frames.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            return
        now_ns = time.perf_counter_ns()
        try:
            for request in peer.reader.feed(data):
                frames.check_size(request, self._item_bytes)
                self._waiting.append(Waiting(peer, request, now_ns))
        except frames.FrameError:
            # Not one of our gateways, or one that has lost its position in the stream: it reconnects.
            self._drop(peer)

    def _run_batch(self) -> None:
        """Run the frames at the head of the line that fit into one forward pass together."""
        group = [self._waiting.popleft()]
        datatype, images = group[0].request.datatype, group[0].request.images
        while (
            self._waiting
            and self._waiting[0].request.datatype == datatype
            and images + self._waiting[0].request.images <= self._merge_limit
        ):
            group.append(self._waiting.popleft())
            images += group[-1].request.images
        payloads = [waiting.request.payload for waiting in group]
        data: Buffer = payloads[0] if len(group) == 1 else bytearray().join(payloads)
        started_ns = self._reports.busy_since_ns = time.perf_counter_ns()
        outcome = run_batch(self._forward, self._recorder, data, datatype, images)
        self._reports.busy_since_ns = 0
        self._answer(group, images, outcome, started_ns)

    def _answer(self, group: list[Waiting], images: int, outcome: Outcome, started_ns: int) -> None:
        row = len(outcome.probabilities) // images
        at = 0
        for peer, request, arrived_ns in group:
            end = at + request.images
            errors = {index - at: message for index, message in outcome.errors.items() if at <= index < end}
            frame = frames.answer(
                request.batch_id,
                request.images,
                BatchTiming(
                    started_ns - arrived_ns,
                    outcome.preprocess_ns,
                    outcome.inference_ns,
                    outcome.postprocess_ns,
                    images,
                ),
                outcome.classes[4 * at : 4 * end],
                outcome.probabilities[row * at : row * end],
                errors,
                outcome.layout,
            )
            self._send(peer, frame)
            at = end

    def _send(self, peer: Peer, data: bytes) -> None:
        if not peer.unsent:
            try:
                sent = peer.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(peer)
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._selector.modify(peer.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)
        peer.unsent += data

    def _flush(self, peer: Peer) -> None:
        try:
            sent = peer.sock.send(peer.unsent)
        except BlockingIOError:
            return
        except OSError:
            self._drop(peer)
            return
        del peer.unsent[:sent]
        if not peer.unsent:
            self._selector.modify(peer.sock, selectors.EVENT_READ, peer)

    def _drop(self, peer: Peer) -> None:
        if peer.sock.fileno() < 0:
            return
        self._selector.unregister(peer.sock)
        peer.sock.close()
        self._waiting = deque(waiting for waiting in self._waiting if waiting.peer is not peer)
