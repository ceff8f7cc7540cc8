"""One gateway's connection to one model process: a non-blocking Unix socket that carries batches.

It owns no loop: whoever drives it calls :meth:`Link.on_readable` when the socket is readable and
:meth:`Link.on_writable` while :attr:`Link.wants_write`. So an asyncio gateway and a polling one share it.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twinserve_server.engine import frames
from twinserve_server.engine.job import Batch, BatchTiming, Buffer
from twinserve_server.errors import InferenceError, ModelUnavailableError

if TYPE_CHECKING:
    from twinserve_server.engine.channel import ModelChannel

#: The kernel takes at most this many buffers in one sendmsg.
IOV_MAX = 1024


class Link:
    """Sends batches to a model process and resolves them from its answers."""

    def __init__(self, channel: ModelChannel, replica: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.channel = channel
        self.replica = replica
        self.ready = False
        self.closed = False
        #: Called with this link whenever unsent bytes appear.
        self.on_backlog: Callable[[Link], None] | None = None
        #: Called with this link once, before its descriptor is closed: to close it may be a failed write's work, of
        #: which whoever watches for reading would never hear.
        self.on_close: Callable[[Link], None] | None = None
        self._sock = sock
        self._reader = frames.FrameReader(frames.ANSWER)
        self._unsent = bytearray()
        self._in_flight: deque[Batch] = deque()

    def fileno(self) -> int:
        """The socket's file descriptor, for selectors."""
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether a part of a frame is still to be written."""
        return bool(self._unsent)

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered."""
        return len(self._in_flight)

    @property
    def images_in_flight(self) -> int:
        """Images sent and not answered."""
        return sum(batch.images for batch in self._in_flight)

    def send(self, batch: Batch) -> None:
        """Write ``batch`` as one frame; what the socket does not take now is kept for later."""
        buffers: list[Buffer] = batch.buffers(self.channel.item_bytes(batch.datatype))
        length = sum(map(len, buffers))
        header = frames.REQUEST.pack(
            length, frames.DATATYPE_CODES[batch.datatype], 0, batch.images, self.channel.next_batch_id()
        )
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
        for fields, payload in self._reader.feed(data):
            self._take(fields, payload)

    def close(self) -> None:
        """Close the socket; every batch in flight is answered as unavailable."""
        if self.closed:
            return
        self.closed = True
        self.ready = False
        if self.on_close is not None:
            self.on_close(self)
        self._sock.close()
        self.channel.remove(self)
        held, self._in_flight = self._in_flight, deque()
        for batch in held:
            batch.fail(
                ModelUnavailableError(
                    f"variant {self.channel.name!r}: its model process ended while it ran this request; try again"
                )
            )

    def _keep(self, buffers: list[Buffer], sent: int) -> None:
        self._unsent += b"".join(buffers)[sent:]
        if self.on_backlog is not None:
            self.on_backlog(self)

    def _take(self, fields: tuple[int, ...], payload: memoryview) -> None:
        if self.closed:
            # To send the next batch failed, and all that was in flight with it.
            return
        _, status, _, images, _, batch_size, wait, preprocess, inference, postprocess = fields
        if status == frames.HELLO:
            self.ready = True
            self.channel.add(self)
            return
        batch = self._in_flight.popleft()
        now_ns = time.monotonic_ns()
        # The link is free: the next batch goes before this one's answers are written, so that the model process
        # works while the gateway encodes.
        self.channel.released(self)
        if status == frames.OK:
            timing = BatchTiming(wait, preprocess, inference, postprocess, batch_size)
            transfer_ns = batch.answer(payload[: 4 * images], payload[4 * images :], timing, now_ns)
            self.channel.observer.on_transfer(transfer_ns)
        else:
            batch.fail(InferenceError(f"variant {self.channel.name!r}: {str(payload, 'utf-8', 'replace')}"))
