"""The native transport: HTTP/2 and gRPC's framing in Rust (``pygrpc-native``), in threads of its own, outside the GIL.

A thread waits for calls and hands whatever has arrived, as one list, to the asyncio loop, which the engine lives on.
Only unary methods with a ``direct`` form come this way; the rest is forwarded, in Rust, to a grpc.aio server on a Unix
socket. The library reads messages of any size into memory: this transport is for callers that are trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
from pygrpc_native import EVENT_CALL, NativeGrpcFront

from twinserve_server.engine.call import Call
from twinserve_server.errors import DrainingError
from twinserve_server.rpc.auth import Admit
from twinserve_server.rpc.callback import DirectMethod
from twinserve_server.rpc.deadlines import gone_code, why_gone
from twinserve_server.rpc.serve import RpcTally
from twinserve_server.rpc.status import PUSHBACK_KEY, outcome_of
from twinserve_server.structured_log import structlog
from twinserve_server.transport.aio import AioTransport
from twinserve_server.transport.base import (
    KEEPALIVE_MS,
    KEEPALIVE_TIMEOUT_MS,
    MAX_PENDING_CALLS,
    Door,
    PortError,
    TransportError,
)

log = structlog.get_logger()

#: Calls taken in one turn of the loop.
EVENTS_A_LIST: Final = 256
#: One thread serves all connections: a second one did not make up for its context switches.
IO_THREADS: Final = 1
#: The library sends data a little later, and does not wait for this when it closes.
FLUSH_SECONDS: Final = 0.05
POLL_SECONDS: Final = 0.005
#: Of a Unix socket's address, which ends with a null byte.
LONGEST_SOCKET: Final = 107
_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS_NS: Final = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}


class NativeRpc:
    """A unary method and what its calls share."""

    __slots__ = ("admit", "arrived", "fail", "max_bytes", "method", "open", "respond", "tally")

    def __init__(
        self,
        method: DirectMethod,
        tally: RpcTally,
        admit: Admit | None,
        front: NativeGrpcFront,
        max_bytes: int,
        calls: dict[int, NativeCall],
    ) -> None:
        """``calls``: those of all methods that are not over, by the library's number."""
        self.method = method
        self.tally = tally
        self.admit = admit
        self.respond = front.respond
        self.fail = front.fail
        self.max_bytes = max_bytes
        self.open = calls
        #: Those that arrived in this turn of the loop.
        self.arrived: list[tuple[bytes, int, NativeCall]] = []

    def begin(self) -> None:
        """Begin the calls that have arrived, together."""
        arrived, self.arrived = self.arrived, []
        for (_, _, call), request in zip(arrived, self.method.begin_all(arrived), strict=True):
            call.begun(request)


class NativeCall:
    """One unary RPC. It is the exchange of its request."""

    __slots__ = ("_call_id", "_deadline_ns", "_request", "_rpc", "_started_ns")

    def __init__(self, rpc: NativeRpc, call_id: int, started_ns: int, deadline_ns: int) -> None:
        self._rpc = rpc
        self._call_id = call_id
        self._started_ns = started_ns
        self._deadline_ns = deadline_ns
        self._request: Call | None = None

    @property
    def peer(self) -> str:
        """The same for all: the library reports either the caller or the timeout, and callers are trusted."""
        return ""

    def begin(self, raw: bytes, metadata: Any) -> None:
        """Look at the request, which :meth:`NativeRpc.begin` takes; ``metadata`` where somebody looks at them."""
        rpc = self._rpc
        if len(raw) > rpc.max_bytes:
            # It never was a request: the other transports do not count it either.
            code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            rpc.fail(self._call_id, code, f"Received message larger than max ({len(raw)} vs. {rpc.max_bytes})")
            return
        rpc.open[self._call_id] = self
        rpc.tally.started()
        if rpc.admit is not None and (error := rpc.admit(metadata)) is not None:
            self.refuse(error)
            return
        rpc.arrived.append((raw, self._deadline_ns, self))

    def begun(self, request: Call | None) -> None:
        """The request was taken; None: and it is over."""
        self._request = request

    def answer(self, response: bytes) -> None:
        if self._rpc.open.pop(self._call_id, None) is not None:
            self._over("OK", self._rpc.respond(self._call_id, response))

    def refuse(self, error: BaseException, request_id: str = "") -> None:
        if self._rpc.open.pop(self._call_id, None) is not None:
            code, message, metadata = outcome_of(error, request_id)
            # The library does not pass on this header; callers find the time in the error details.
            sent = tuple(entry for entry in metadata if entry[0] != PUSHBACK_KEY)
            self._over(code.name, self._rpc.fail(self._call_id, code.value[0], message, sent))

    def leave(self) -> None:
        """The caller is gone, or its deadline has passed."""
        if self._request is not None:
            self._rpc.method.abandon(self._request, why_gone(self._started_ns, self._deadline_ns))
        self._over("CANCELLED", sent=False)

    def cut_off(self) -> None:
        """The server goes away."""
        error = DrainingError("the server shut down before the request was done; try another one")
        if self._request is not None:
            self._rpc.method.abandon(self._request, error)
        self.refuse(error)

    def _over(self, code: str, sent: bool) -> None:
        self._request = None
        if not sent:
            code = gone_code(why_gone(self._started_ns, self._deadline_ns))
        self._rpc.tally.handled(code, (time.monotonic_ns() - self._started_ns) / 1e9)


class NativeTransport:
    """Serves handlers on ``NativeGrpcFront`` and, behind it, on grpc.aio."""

    name = "native"

    def __init__(self, doors: Sequence[Door]) -> None:
        """The first of ``doors`` is the front's; the others are grpc.aio's alone.

        Raises:
            PortError: the address is taken or not ours.
            TransportError: there is no room for a socket in the temporary folder.
        """
        options, handlers = doors[0].options, doors[0].handlers
        self._loop = asyncio.get_running_loop()
        direct = [handler for handler in handlers if isinstance(handler.direct, DirectMethod)]
        try:
            self._front = NativeGrpcFront(
                options.address,
                [(f"/{handler.method.service}/{handler.method.name}", False) for handler in direct],
                io_threads=IO_THREADS,
                # Passed as the client's name, which is cheaper than all metadata.
                client_key_metadata="grpc-timeout",
                # For the events of callers that leave.
                call_details=True,
                keepalive_time_ms=KEEPALIVE_MS,
                keepalive_timeout_ms=KEEPALIVE_TIMEOUT_MS,
                max_concurrent_streams=options.limits.calls,
                max_metadata_size=options.limits.metadata_bytes,
                reuse_port=options.reuse_port,
            )
        except OSError:
            raise PortError(
                f"cannot listen on {options.address}: the address is in use, or does not belong to this machine"
            ) from None
        self._calls: dict[int, NativeCall] = {}
        self._rpcs = [
            NativeRpc(handler.direct, handler.tally, handler.admit, self._front, options.max_message_bytes, self._calls)
            for handler in direct
            if isinstance(handler.direct, DirectMethod)
        ]
        self._looks_at_metadata = any(rpc.admit is not None for rpc in self._rpcs)
        rest = [handler for handler in handlers if handler not in direct]
        self._folder, behind = private_socket()
        # All callers of the remaining methods share one connection.
        limits = replace(options.limits, calls=MAX_PENDING_CALLS, idle_seconds=0.0)
        inner = Door(replace(options, host=f"unix:{behind}", port=0, reuse_port=False, limits=limits), rest)
        self._rest = AioTransport([inner, *doors[1:]])
        self._front.set_fallback(behind)
        self._reader = threading.Thread(target=self._read, name="native-reader", daemon=True)
        self._taking = False
        self._at_end: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Listen; see :meth:`Transport.start`."""
        await self._rest.start()
        self._front.start()
        self._reader.start()

    def later(self, callback: Callable[[], None]) -> None:
        if self._taking:
            self._at_end.append(callback)
        else:
            self._loop.call_soon(callback)

    async def drain(self, grace_seconds: float) -> None:
        """The engine refuses new calls by now; connections close at the end."""
        rest = asyncio.ensure_future(self._rest.drain(grace_seconds))
        until = time.monotonic() + grace_seconds
        while self._calls and time.monotonic() < until:  # noqa: ASYNC110  (an event would cost every call)
            await asyncio.sleep(POLL_SECONDS)
        for call in list(self._calls.values()):
            call.cut_off()
        await rest
        await asyncio.sleep(FLUSH_SECONDS)
        await asyncio.to_thread(self._front.close)
        self._folder.cleanup()

    def _read(self) -> None:
        """Runs in the reader's thread until the front is closed."""
        receive = self._front.recv_batch_details if self._looks_at_metadata else self._front.recv_batch
        while (events := receive(EVENTS_A_LIST)) is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the front
                self._loop.call_soon_threadsafe(self._take, events)

    def _take(self, events: Sequence[tuple[Any, ...]]) -> None:
        """Begin what has arrived together; it is queued together."""
        self._taking = True
        now_ns = time.monotonic_ns()
        gone = []
        for kind, call_id, method_id, raw, key, *details in events:
            if kind == EVENT_CALL:
                # Without a timeout the key is the caller's address, as text.
                timeout = timeout_ns(key) if isinstance(key, bytes) else 0
                deadline_ns = now_ns + timeout if timeout else 0
                metadata = details[0][0] if details else ()
                NativeCall(self._rpcs[method_id], call_id, now_ns, deadline_ns).begin(raw, metadata)
            else:
                gone.append(call_id)
        for rpc in self._rpcs:
            if rpc.arrived:
                rpc.begin()
        # After the starts: a caller may leave in the same list in which it arrived.
        for call_id in gone:
            if (call := self._calls.pop(call_id, None)) is not None:
                call.leave()
        self._taking = False
        callbacks, self._at_end = self._at_end, []
        for callback in callbacks:
            callback()


def private_socket() -> tuple[tempfile.TemporaryDirectory[str], str]:
    """A folder that only this user can enter, and where a socket may lie in it.

    Raises:
        TransportError: there is no temporary folder to be had, or its name is too long for a socket.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="twinserve-")
    except OSError as error:
        raise TransportError(f"--transport native: no temporary folder ({error.strerror}); set TMPDIR") from None
    path = f"{folder.name}/s"
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        folder.cleanup()
        raise TransportError(
            f"--transport native: {path} is longer than a socket's name may be ({LONGEST_SOCKET} bytes); "
            "set TMPDIR to a shorter folder"
        )
    return folder, path


def timeout_ns(value: bytes) -> int:
    """The header ``grpc-timeout`` (up to eight digits and a unit) in nanoseconds; 0: it does not read so."""
    found = _TIMEOUT.fullmatch(value)
    return int(found[1]) * _UNITS_NS[found[2]] if found else 0
