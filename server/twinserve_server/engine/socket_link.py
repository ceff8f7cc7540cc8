"""One gateway's connection to one model process: a non-blocking Unix socket that carries batches.

It owns no loop: whoever drives it calls :meth:`SocketLink.on_readable` when the socket is readable and
:meth:`SocketLink.on_writable` while :attr:`SocketLink.wants_write`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from twinserve_server.engine import frames
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.job import Batch, Buffer
from twinserve_server.engine.link import Link
from twinserve_server.errors import InferenceError

log = logging.getLogger(__name__)

#: The kernel takes at most this many buffers in one sendmsg.
IOV_MAX = 1024


class SocketLink(Link):
    """Sends batches to a model process and resolves them from its answers."""

    def __init__(self, channel: ModelChannel, replica: int, sock: socket.socket) -> None:
        super().__init__(channel)
        sock.setblocking(False)
        self.replica = replica
        self.ready = False
        #: Called with this link whenever unsent bytes appear.
        self.on_backlog: Callable[[SocketLink], None] | None = None
        #: Called with this link once, before its descriptor is closed: a failed write may close it, which the code that
        #: watches it for reading would not notice.
        self.on_close: Callable[[SocketLink], None] | None = None
        self._sock = sock
        self._reader = frames.read_answers()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """The socket's file descriptor, for selectors."""
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether a part of a frame is still to be written."""
        return bool(self._unsent)

    def send(self, batch: Batch) -> None:
        """Write ``batch`` as one frame; what the socket does not take now is kept for later."""
        buffers: list[Buffer] = batch.buffers(self.channel.item_bytes(batch.datatype))
        length = sum(map(len, buffers))
        batch.batch_id = self.channel.next_batch_id()
        header = frames.request_header(batch.datatype, batch.images, batch.batch_id, length)
        batch.sent_ns = time.monotonic_ns()
        self._in_flight.append(batch)
        buffers.insert(0, header)
        if self._unsent or len(buffers) > IOV_MAX:
            self._keep(buffers, 0)
            self.on_writable()
            return
        try:
            sent = self._sock.sendmsg(buffers)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(header) + length:
            self._keep(buffers, sent)

    def on_writable(self) -> None:
        """Write more of the frames the socket did not take at once."""
        if self.closed:
            return
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        if self._unsent and self.on_backlog is not None:
            self.on_backlog(self)

    def on_readable(self) -> None:
        """Take what has arrived; resolve the batches it answers; on end of stream fail what is in flight."""
        if self.closed:
            return
        try:
            data = self._sock.recv(frames.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for answer in self._reader.feed(data):
                self._take(answer)
        except Exception as error:
            # It is unknown which batch the next bytes answer: fail those in flight, and start over with a new link.
            log.exception("variant %r: the answers of its model process cannot be read", self.channel.name)
            self.close(InferenceError(f"variant {self.channel.name!r}: {error}"))

    def _disconnect(self) -> None:
        self.ready = False
        if self.on_close is not None:
            self.on_close(self)
        self._sock.close()

    def _keep(self, buffers: list[Buffer], sent: int) -> None:
        self._unsent += b"".join(buffers)[sent:]
        if self.on_backlog is not None:
            self.on_backlog(self)

    def _take(self, answer: frames.Answer) -> None:
        if self.closed:
            # Sending the next batch failed, and with it everything in flight.
            return
        if answer.status == frames.HELLO:
            self.ready = True
            self.channel.add(self)
            return
        batch = self._in_flight[0] if self._in_flight else None
        if batch is None or (answer.batch_id, answer.images) != (batch.batch_id, batch.images):
            expected = f"{batch.batch_id} of {batch.images}" if batch else "none"
            raise frames.FrameError(
                f"an answer to batch {answer.batch_id} of {answer.images} images came, {expected} was expected"
            )
        classes, probabilities, messages = frames.split_answer(answer, self.channel.model.classes)
        self._answered(classes, probabilities, answer.timing, messages, answer.layout)
