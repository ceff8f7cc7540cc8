"""The control line between the supervisor and a gateway: lines of JSON, requests and replies in both directions."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from twinserve_server import errors
from twinserve_server.errors import FieldViolation, TwinserveError

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
#: One line may carry a manifest.
_LINE_LIMIT = 16 << 20
#: How long a gateway waits for the supervisor, which in the meantime may wait for another gateway.
SUPERVISOR_SECONDS = 10.0
GATEWAY_SECONDS = 2.0

log = structlog.get_logger()


class ControlLine:
    """Calls methods of the other side and answers its calls."""

    def __init__(self, handler: Handler, call_seconds: float) -> None:
        """A side that has not answered a call after ``call_seconds`` is taken for stopped."""
        self._handler = handler
        self._call_seconds = call_seconds
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        #: Set once the line can be used.
        self.opened = asyncio.Event()

    async def serve(self, sock: socket.socket) -> None:
        """Read until the other side ends."""
        reader, self._writer = await asyncio.open_unix_connection(sock=sock, limit=_LINE_LIMIT)
        self.opened.set()
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the other side has ended"))
            self._writer.close()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call ``method`` of the other side.

        Raises:
            TwinserveError: the other side refused.
            ConnectionError: the line is not open, or closed before the answer came.
            TimeoutError: no answer came in time.
        """
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"id": number, "method": method, "params": params})
            async with asyncio.timeout(self._call_seconds):
                reply = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise _decode_error(reply["error"])
        result: dict[str, Any] = reply.get("result") or {}
        return result

    def notify(self, method: str, **params: Any) -> None:
        """Call ``method`` of the other side and expect no answer."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the control line is closed")
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            task = asyncio.ensure_future(self._run(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif (future := self._waiting.get(message["id"])) is not None and not future.done():
            future.set_result(message)

    async def _run(self, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"id": message.get("id")}
        try:
            reply["result"] = await self._handler(message["method"], message["params"])
        except TwinserveError as error:
            reply["error"] = _encode_error(error)
        except Exception as error:
            log.exception("control_call_failed", method=message["method"])
            reply["error"] = _encode_error(TwinserveError(f"{message['method']}: {type(error).__name__}: {error}"))
        if reply["id"] is not None and self._writer is not None and not self._writer.is_closing():
            self._send(reply)


def _encode_error(error: TwinserveError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "violations": [[item.field, item.description] for item in error.violations],
    }


def _decode_error(encoded: dict[str, Any]) -> TwinserveError:
    kind: type[TwinserveError] = getattr(errors, encoded["kind"])
    return kind(encoded["message"], *(FieldViolation(*pair) for pair in encoded["violations"]))
