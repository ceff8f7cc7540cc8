"""The control line between the supervisor and a process it started: notifications and calls in both directions.

On the wire each message has a number: 0 for a notification, above 0 for a question, below 0 for the answer to the
question with that number.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from twinserve_server import errors
from twinserve_server.errors import TwinserveError
from twinserve_server.ipc.codec import Frames, frame
from twinserve_server.ipc.messages import Answer, Done, Message, Refused
from twinserve_server.structured_log import structlog

Answered = TypeVar("Answered", bound=Message)
#: Handles a message; its return value answers a question.
Handler = Callable[[Any], Awaitable[Message | None]]

#: How long a gateway waits for the supervisor, which may itself be waiting for another gateway.
SUPERVISOR_SECONDS: Final = 10.0
CHILD_SECONDS: Final = 2.0
_READ_BYTES: Final = 1 << 16

log = structlog.get_logger()


class ControlLine:
    """One end of a control line, on asyncio."""

    def __init__(self, takes: Any, handler: Handler, call_seconds: float) -> None:
        """
        Args:
            takes: the union of the messages that the peer may send, except answers.
            handler: called with each of them, in a separate task.
            call_seconds: a peer that has not answered for this long counts as stopped.
        """
        self._frames: Frames[tuple[int, Message]] = Frames(tuple[int, takes | Answer])
        self._handler = handler
        self._call_seconds = call_seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        #: Set once the line can be used.
        self.opened = asyncio.Event()

    async def serve(self, sock: socket.socket) -> None:
        """Read until the peer closes the line."""
        reader, self._writer = await asyncio.open_unix_connection(sock=sock)
        self.opened.set()
        try:
            while data := await reader.read(_READ_BYTES):
                for number, message in self._frames.feed(data):
                    self._take(number, message)
        except ConnectionError:
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the other side has ended"))
            self._writer.close()

    async def call(self, question: Message, answer: type[Answered], seconds: float | None = None) -> Answered:
        """Send a question and return the answer; ``seconds`` overrides how long it may take.

        Raises:
            TwinserveError: the peer refused.
            ConnectionError: the line is not open, or closed before the answer came.
            TimeoutError: no answer came in time.
        """
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(number, question)
            async with asyncio.timeout(self._call_seconds if seconds is None else seconds):
                got = await future
        finally:
            self._waiting.pop(number, None)
        if isinstance(got, Refused):
            raise _error(got)
        if not isinstance(got, answer):
            raise TypeError(f"{type(question).__name__} was answered by {type(got).__name__}")
        return got

    def notify(self, message: Message) -> None:
        """Send a message that needs no answer.

        Raises:
            ConnectionError: the line is not open.
        """
        self._send(0, message)

    async def close(self) -> None:
        """Send everything pending, then close."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()

    def _send(self, number: int, message: Message) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the control line is closed")
        self._writer.write(frame((number, message)))

    def _take(self, number: int, message: Message) -> None:
        if number < 0:
            if (future := self._waiting.get(-number)) is not None and not future.done():
                future.set_result(message)
            return
        task = asyncio.ensure_future(self._run(number, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, number: int, message: Message) -> None:
        try:
            answer = await self._handler(message) or Done()
        except TwinserveError as error:
            answer = Refused(type(error).__name__, error.message, tuple(error.violations))
        except Exception as error:
            name = type(message).__name__
            log.exception("control_message_failed", message=name)
            answer = Refused("TwinserveError", f"{name}: {type(error).__name__}: {error}", ())
        if number and self._writer is not None and not self._writer.is_closing():
            self._send(-number, answer)


def _error(refused: Refused) -> TwinserveError:
    kind: type[TwinserveError] = getattr(errors, refused.kind, TwinserveError)
    return kind(refused.message, *refused.violations)
