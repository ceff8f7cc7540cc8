"""What runs in a variant's process: load, verify, warm, then answer the batches that gateways send.

Started by the supervisor as ``python -m twinserve_server.model.process`` with its configuration as JSON on standard
input and a control socket (lines of JSON) whose end of stream means: the supervisor is gone, end too.
No gRPC, no threads but torch's. Frames of several gateways that have arrived meet in one forward pass.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from twinserve_server.artefact.manifest import DataType
from twinserve_server.engine import frames
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.ipc.process_config import ModelProcessConfig, read_config
from twinserve_server.metrics.cells import BatchRecorder
from twinserve_server.metrics.slab import Slab
from twinserve_server.model.torchscript import Answers, Forward


@dataclass(slots=True)
class Frame:
    """One gateway's batch, waiting for its turn."""

    peer: Peer
    datatype: DataType
    images: int
    batch_id: int
    payload: memoryview
    arrived_ns: int


@dataclass(slots=True, eq=False)
class Peer:
    """One gateway."""

    sock: socket.socket
    reader: frames.FrameReader = field(default_factory=lambda: frames.FrameReader(frames.REQUEST))
    unsent: bytearray = field(default_factory=bytearray)


class BatchServer:
    """Serves :class:`Forward` to the gateways on a Unix socket, one forward pass at a time."""

    def __init__(
        self,
        forward: Forward,
        listener: socket.socket,
        control: socket.socket,
        merge_limit: int,
        recorder: BatchRecorder,
    ) -> None:
        """``merge_limit``: frames share a forward pass up to so many images; 0: each has one of its own."""
        self._forward = forward
        self._recorder = recorder
        self._merge_limit = merge_limit
        self._waiting: deque[Frame] = deque()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._control = control
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Answer batches until the supervisor is gone or :meth:`stop` was called."""
        while not self._stopping or self._waiting:
            self._poll(0 if self._waiting else None)
            if self._waiting:
                self._run_batch()

    def stop(self) -> None:
        """End once what has arrived is answered. May be called from a signal handler."""
        self._stopping = True
        # Makes the control socket readable, so that a waiting select() returns.
        self._control.shutdown(socket.SHUT_RD)

    def _poll(self, timeout: float | None) -> None:
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._listener:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                peer = Peer(sock)
                self._selector.register(sock, selectors.EVENT_READ, peer)
                self._send(peer, frames.ANSWER.pack(0, frames.HELLO, 0, 0, 0, 0, 0, 0, 0, 0))
            elif key.fileobj is self._control:
                if not self._control.recv(4096):
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
        for (_, code, _, images, batch_id), payload in peer.reader.feed(data):
            self._waiting.append(Frame(peer, frames.DATATYPES[code], images, batch_id, payload, now_ns))

    def _run_batch(self) -> None:
        """Run the frames at the head of the line that fit into one forward pass together."""
        group = [self._waiting.popleft()]
        images = group[0].images
        while (
            self._waiting
            and self._waiting[0].datatype == group[0].datatype
            and images + self._waiting[0].images <= self._merge_limit
        ):
            group.append(self._waiting.popleft())
            images += group[-1].images
        data: Buffer = group[0].payload if len(group) == 1 else bytearray().join(frame.payload for frame in group)
        started_ns = time.perf_counter_ns()
        try:
            answers = self._forward(data, group[0].datatype, images)
        except InferenceError as error:
            message = error.message.encode()
            for frame in group:
                header = frames.ANSWER.pack(
                    len(message), frames.FAILED, 0, frame.images, frame.batch_id, images, 0, 0, 0, 0
                )
                self._send(frame.peer, header + message)
            return
        self._recorder.on_batch(images, answers.preprocess_ns, answers.inference_ns, answers.postprocess_ns)
        self._answer(group, images, answers, started_ns)

    def _answer(self, group: list[Frame], images: int, answers: Answers, started_ns: int) -> None:
        row = len(answers.probabilities) // images
        at = 0
        for frame in group:
            end = at + frame.images
            classes, probabilities = (
                answers.classes[4 * at : 4 * end],
                answers.probabilities[row * at : row * end],
            )
            header = frames.ANSWER.pack(
                len(classes) + len(probabilities),
                frames.OK,
                0,
                frame.images,
                frame.batch_id,
                images,
                started_ns - frame.arrived_ns,
                answers.preprocess_ns,
                answers.inference_ns,
                answers.postprocess_ns,
            )
            self._send(frame.peer, header + classes + probabilities)
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
        self._waiting = deque(frame for frame in self._waiting if frame.peer is not peer)


def load(config: ModelProcessConfig) -> Forward:
    """The artefact that ``config`` names, loaded and warm."""
    return Forward(
        config.version,
        config.version.variants[config.variant],
        config.settings.threads,
        config.max_batch_size,
        config.settings.preferred_batch_sizes,
    )


def main() -> int:
    """Serve one variant until the supervisor says otherwise."""
    config, control = read_config(ModelProcessConfig)
    if config.cores:
        os.sched_setaffinity(0, config.cores)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def report(event: str, **fields: Any) -> None:
        control.sendall(json.dumps({"event": event, **fields}).encode() + b"\n")

    try:
        forward = load(config)
    except ArtefactError as error:
        report("failed", message=error.message)
        return 3
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(config.socket_path)
    listener.listen(64)
    labels = (config.version.model, config.version.version, config.variant)
    recorder = BatchRecorder(Slab(config.slab_path), labels)
    server = BatchServer(forward, listener, control, config.max_batch_size if config.settings.batching else 0, recorder)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    report("ready", facts=asdict(forward.facts))
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
