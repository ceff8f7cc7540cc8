"""Bidirectional RPCs of direct methods on a completion queue: every message is a request."""

from __future__ import annotations

import time
from typing import Any

from grpc._cython.cygrpc import (
    ReceiveCloseOnServerOperation,
    ReceiveMessageOperation,
    SendInitialMetadataOperation,
    SendMessageOperation,
    SendStatusFromServerOperation,
)

from twinserve_server.errors import IdleCallError
from twinserve_server.rpc.callback import DirectStream
from twinserve_server.rpc.deadlines import gone_code, why_gone
from twinserve_server.rpc.status import outcome_of
from twinserve_server.rpc.stream_window import StreamWindow
from twinserve_server.structured_log import structlog
from twinserve_server.transport.fast.calls import OK, DirectRpc, cancel, deadline_ns, ignore, peer_of, status
from twinserve_server.transport.idle import Turns

log = structlog.get_logger()


class StreamCall(Turns):
    """One bidirectional RPC whose messages are requests and whose answers keep their order."""

    __slots__ = (
        "_call",
        "_code",
        "_deadline_ns",
        "_ended",
        "_half_closed",
        "_opened",
        "_rpc",
        "_started_ns",
        "_window",
    )

    def __init__(self, rpc: DirectRpc[DirectStream], event: Any) -> None:
        super().__init__(rpc.idle)
        self._rpc = rpc
        self._call = event.call
        self._started_ns = now_ns = time.monotonic_ns()
        self._deadline_ns = deadline_ns(event, now_ns)
        self._window = StreamWindow(rpc.method, self._deadline_ns, peer_of(self._call), self._send)
        self._code = "OK"
        self._ended = self._half_closed = self._opened = False
        rpc.open[self] = None
        rpc.tally.started()
        self._call.start_server_batch((ReceiveCloseOnServerOperation(0),), self._on_close)
        if rpc.admit is not None and (error := rpc.admit(event.invocation_metadata)) is not None:
            self._finish(error)
            return
        self._read()

    def caller(self) -> str:
        return self._window.peer

    def expire(self, error: IdleCallError) -> None:
        if self._sending:
            cancel(self._call, error)
            self._rpc.loop.soon()
        elif not self._ended:
            self._finish(error)

    def _read(self) -> None:
        if not (self._reading or self._half_closed or self._ended or self._window.full):
            self.reads()
            self._call.start_server_batch((ReceiveMessageOperation(0),), self._on_message)
            self._rpc.loop.soon()

    def _on_message(self, event: Any) -> None:
        if self._ended:
            return
        raw = event.batch_operations[0].message()
        self.has_read(raw is not None)
        if raw is None:
            self._half_closed = True
            self._send()
            return
        try:
            self._window.add(raw)
        except Exception as error:
            log.exception("handler_failed")
            self._finish(error)
            return
        self._read()

    def _send(self) -> None:
        """Send the answers whose turn it is, one operation at a time, and the status after the last one."""
        if self._sending or self._ended:
            return
        window = self._window
        response = window.pop()
        if response is None:
            if self._half_closed and not len(window):
                self._finish(None)
            return
        self.sends()
        # Without a hint that more follow: gRPC core may then hold this one, and its end, back until the stream closes.
        self._start((SendMessageOperation(response, 0),), self._on_sent)

    def _on_sent(self, event: Any) -> None:
        self.has_sent()
        if event.success:
            self._send()
            self._read()

    def _finish(self, error: BaseException | None) -> None:
        self._ended = True
        if error is None:
            self._start((SendStatusFromServerOperation((), OK, b"", 0),), ignore)
        else:
            code, message, metadata = outcome_of(error)
            self._code = code.name
            self._start((status(code, message, metadata),), ignore)

    def _start(self, operations: tuple[Any, ...], tag: Any) -> None:
        if not self._opened:
            self._opened = True
            operations = (SendInitialMetadataOperation((), 0), *operations)
        self._call.start_server_batch(operations, tag)
        self._rpc.loop.soon()

    def _on_close(self, event: Any) -> None:
        self._ended = True
        code = self._code
        if event.batch_operations[0].cancelled():
            code = gone_code(why_gone(self._started_ns, self._deadline_ns))
        self._window.close(why_gone)
        self.is_over()
        del self._rpc.open[self]
        self._rpc.tally.handled(code, (time.monotonic_ns() - self._started_ns) / 1e9)
