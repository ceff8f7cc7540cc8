"""The fast transport: gRPC core's completion queue on the asyncio loop (``queue``), without a task per Predict.

It uses ``grpc._cython.cygrpc``, a private API, in this package only; ``support`` lists the versions it was tested with,
and ``proof`` tests it at every start.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import grpc
from grpc._cython import cygrpc

from twinserve_server.rpc.callback import DirectMethod, DirectStream
from twinserve_server.rpc.serve import RpcHandler
from twinserve_server.transport.base import Door, ListenOptions, PortError, channel_arguments
from twinserve_server.transport.fast.calls import DirectRpc, UnaryCall, ignore, status
from twinserve_server.transport.fast.coroutine_call import CoroutineCall
from twinserve_server.transport.fast.queue import QueueLoop
from twinserve_server.transport.fast.stream_call import StreamCall
from twinserve_server.transport.fast.support import find_poller
from twinserve_server.transport.idle import IdleCalls
from twinserve_server.transport.metadata import refusal_of

#: Calls that gRPC core may deliver before it is asked for more.
REQUESTED_CALLS: Final = 64
#: As grpc.aio answers it.
NO_METHOD: Final = grpc.StatusCode.UNIMPLEMENTED, "Method not found!"
#: After the grace period, calls are cancelled; their ends may take this long.
CANCEL_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Listener:
    """One port; ``open`` begins the calls of a path."""

    options: ListenOptions
    open: dict[bytes, Callable[[Any], object]]
    server: Any = None
    #: Called for each call that gRPC core delivers.
    on_call: Callable[[Any], None] = field(default=lambda _: None)


class FastTransport:
    """Serves handlers on a completion queue."""

    name = "fast"

    def __init__(self, doors: Sequence[Door]) -> None:
        """Those handlers that have a ``direct`` form are called by it."""
        self._loop = QueueLoop()
        self._loop.on_housekeeping = self._watch
        self._unary: list[DirectRpc[DirectMethod]] = []
        self._coroutines: set[CoroutineCall] = set()
        self._idle = IdleCalls(doors[0].options.limits.idle_call_seconds)
        self._listeners = [
            _Listener(
                door.options,
                {f"/{item.method.service}/{item.method.name}".encode(): self._opener(item) for item in door.handlers},
            )
            for door in doors
        ]
        #: Where the first door is.
        self.port = doors[0].options.port
        self._closing = False
        self._still_open = len(doors)
        self._ended = asyncio.Event()

    @property
    def poller(self) -> int:
        """The descriptor that turns readable when gRPC core has something to do."""
        return self._loop.poller

    async def start(self) -> None:
        """Listen; see :meth:`Transport.start`."""
        for listener in self._listeners:
            options = listener.options
            listener.server = server = cygrpc.Server(channel_arguments(options), False)
            server.register_completion_queue(self._loop.queue)
            address = options.address.encode()
            if options.credentials is None:
                port = server.add_http2_port(address)
            else:
                port = server.add_http2_port(address, options.credentials._credentials)  # noqa: SLF001
            if not port:
                raise PortError(
                    f"cannot listen on {options.address}: the address is in use, or does not belong to this machine"
                )
            listener.on_call = partial(self._on_call, listener)
            server.start()
            for _ in range(REQUESTED_CALLS):
                self._request_call(listener)
            if listener is self._listeners[0]:
                self.port = port
        self._loop.attach(find_poller())

    async def drain(self, grace_seconds: float) -> None:
        self._closing = True
        for listener in self._listeners:
            listener.server.shutdown(self._loop.queue, self._on_shutdown)
        self._loop.soon()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._ended.wait()
        if not self._ended.is_set():
            for listener in self._listeners:
                listener.server.cancel_all_calls()
            self._loop.soon()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self._ended.wait()
        self._loop.detach()
        for listener in self._listeners:
            listener.server.destroy()

    def later(self, callback: Callable[[], None]) -> None:
        self._loop.later(callback)

    def _opener(self, handler: RpcHandler) -> Callable[[Any], object]:
        if handler.direct is None:
            return partial(CoroutineCall, handler, self._loop, self._idle, self._coroutines)
        if isinstance(handler.direct, DirectStream):
            return partial(StreamCall, DirectRpc(handler.direct, handler.tally, self._loop, self._idle, handler.admit))
        rpc = DirectRpc(handler.direct, handler.tally, self._loop, self._idle, handler.admit)
        self._unary.append(rpc)
        return partial(UnaryCall, rpc)

    def _request_call(self, listener: _Listener) -> None:
        listener.server.request_call(self._loop.queue, self._loop.queue, listener.on_call)

    def _on_call(self, listener: _Listener, event: Any) -> None:
        if not event.success:
            return
        if not self._closing:
            self._request_call(listener)
        refusal = refusal_of(event.invocation_metadata, listener.options.limits.metadata_bytes)
        if refusal is None:
            open_call = listener.open.get(event.call_details.method)
            if open_call is not None:
                open_call(event)
                return
            refusal = NO_METHOD
        event.call.start_server_batch(
            (
                cygrpc.ReceiveCloseOnServerOperation(0),
                cygrpc.SendInitialMetadataOperation((), 0),
                status(*refusal, ()),
            ),
            ignore,
        )

    def _on_shutdown(self, _: Any) -> None:
        self._still_open -= 1
        if not self._still_open:
            self._ended.set()

    def _watch(self) -> None:
        now_ns = time.monotonic_ns()
        for rpc in self._unary:
            for call in rpc.open:
                if not call.watch(now_ns):
                    break
        self._idle.sweep()
