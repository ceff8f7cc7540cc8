"""Both ends of a prediction stream: sending requests, and yielding answers and errors in order.

The server answers in request order, so a queue of what was sent (or failed before it was sent) is enough to yield
every outcome in its place. A semaphore bounds the unanswered requests: this is the back-pressure, and it also bounds
how far ahead the caller's images are consumed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import suppress
from typing import Any, Final, Literal

import grpc

from twinserve.v1 import predict_pb2
from twinserve_client._arguments import shown, whole
from twinserve_client._status import error_of_code, error_of_rpc
from twinserve_client._waiting import Deadline
from twinserve_client.errors import (
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    UnavailableError,
)
from twinserve_client.types import ImageInput, Prediction

OnError = Literal["raise", "return"]
Encode = Callable[[ImageInput], predict_pb2.PredictRequest]
AsyncEncode = Callable[[ImageInput], Awaitable[predict_pb2.PredictRequest]]
Decode = Callable[[predict_pb2.PredictResponse], Prediction]
Outcome = Prediction | CallError


class _Broken:
    """The caller's iterable raised."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


#: Every request in flight is kept in memory; with more of them it would no longer be a stream.
MOST_IN_FLIGHT: Final = 1_000_000

_SENT: Final = "sent"
_END: Final = "end"
#: An entry in the queue of outcomes: a request in flight, one that could not be sent, or the end of the images.
_Entry = InvalidInputError | _Broken | str

_CUT_SHORT: Final = "the server ended the stream before it had answered every request"
_TOO_MANY: Final = "the server sent more answers than there were requests"


def check_arguments(images: Any, max_in_flight: object, on_error: object, *, asynchronous: bool = False) -> Any:
    """Check the arguments of a stream; returns the iterator over ``images``.

    Raises:
        ConfigurationError: an argument is wrong; gives its name, its value and what is allowed.
        InvalidInputError: ``images`` is not iterable.
    """
    whole("max_in_flight", max_in_flight, 1, MOST_IN_FLIGHT, ConfigurationError)
    if not isinstance(on_error, str) or on_error not in ("raise", "return"):
        raise ConfigurationError(f'on_error: is {shown(on_error)}; give "raise" or "return"')
    if asynchronous and isinstance(images, AsyncIterable):
        return images
    if isinstance(images, Iterable):
        with suppress(TypeError):
            return iter(images)
    hint = "; AsyncClient takes asynchronous iterables" if isinstance(images, AsyncIterable) else ""
    raise InvalidInputError.of("images", f"is {shown(images)}; give an iterable of images{hint}")


def outcome_of(message: predict_pb2.PredictStreamResponse, decode: Decode) -> Outcome:
    """The outcome in one response of a stream: a prediction, or the request's error."""
    if message.WhichOneof("result") == "error":
        error = message.error
        return error_of_code(error.code, error.message, error.request_id)
    return decode(message.response)


class Feed:
    """A stream for threads: gRPC's sending thread consumes the images, the caller's thread reads the outcomes."""

    def __init__(self, images: Iterable[ImageInput], max_in_flight: int, encode: Encode) -> None:
        self._images = images
        self._encode = encode
        self._room = threading.Semaphore(max_in_flight)
        self._order: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._stopped = False

    def requests(self) -> Iterator[predict_pb2.PredictRequest]:
        """The requests for gRPC to send, as fast as answers make room."""
        try:
            images = iter(self._images)
            while self._room.acquire() and not self._stopped:
                try:
                    request = self._encode(next(images))
                except StopIteration:
                    break
                except InvalidInputError as error:
                    self._order.put(error)
                else:
                    self._order.put(_SENT)
                    yield request
        except Exception as error:  # noqa: BLE001  (the caller's iterable failed: raised where the caller reads)
            self._order.put(_Broken(error))
        finally:
            self._order.put(_END)

    def outcomes(self, call: Any, decode: Decode) -> Generator[Outcome, None, None]:
        """The outcomes for the caller, in the order of the images.

        Raises:
            CallError: the stream as a whole failed.
        """
        # A call that ends early must wake a reader waiting for a slow iterable.
        call.add_callback(lambda: self._order.put(_SENT))
        try:
            while (entry := self._order.get()) is not _END:
                if isinstance(entry, _Broken):
                    raise entry.error
                if isinstance(entry, str):
                    message = next(call, None)
                    if message is None:
                        raise InternalError(_CUT_SHORT, code=grpc.StatusCode.INTERNAL)
                    outcome = outcome_of(message, decode)
                else:
                    outcome = entry
                self._room.release()
                yield outcome
            if next(call, None) is not None:
                raise InternalError(_TOO_MANY, code=grpc.StatusCode.INTERNAL)
        except grpc.RpcError as error:
            raise error_of_rpc(error) from error
        finally:
            self._stopped = True
            self._room.release()
            call.cancel()


class AsyncFeed:
    """A stream for an event loop; the counterpart of :class:`Feed`."""

    def __init__(
        self, images: Iterable[ImageInput] | AsyncIterable[ImageInput], max_in_flight: int, encode: AsyncEncode
    ) -> None:
        self._images = images
        self._encode = encode
        self._room = asyncio.Semaphore(max_in_flight)
        self._order: asyncio.Queue[_Entry] = asyncio.Queue()

    async def _send(self, call: Any) -> None:
        """Send requests as fast as answers make room."""
        try:
            images = aiter(_as_async(self._images))
            while await self._room.acquire():
                try:
                    request = await self._encode(await anext(images))
                except StopAsyncIteration:
                    break
                except InvalidInputError as error:
                    self._order.put_nowait(error)
                else:
                    self._order.put_nowait(_SENT)
                    await call.write(request)
            # Queued first: the server may answer and end the call before this coroutine resumes.
            self._order.put_nowait(_END)
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the call has ended; the reader finds out why
        except Exception as error:  # noqa: BLE001  (the caller's iterable failed: raised where the caller reads)
            self._order.put_nowait(_Broken(error))

    async def outcomes(self, call: Any, decode: Decode, deadline: Deadline) -> AsyncGenerator[Outcome, None]:
        """The outcomes for the caller, in the order of the images; ``deadline`` is that of ``call``.

        Raises:
            CallError: the stream as a whole failed.
        """
        call.add_done_callback(lambda _: self._order.put_nowait(_SENT))
        sender = asyncio.ensure_future(self._send(call))
        try:
            while (entry := await self._order.get()) is not _END:
                if isinstance(entry, _Broken):
                    raise entry.error
                if isinstance(entry, str):
                    message = await call.read()
                    if message is grpc.aio.EOF:
                        raise InternalError(_CUT_SHORT, code=grpc.StatusCode.INTERNAL)
                    outcome = outcome_of(message, decode)
                else:
                    outcome = entry
                self._room.release()
                yield outcome
            if await call.read() is not grpc.aio.EOF:
                raise InternalError(_TOO_MANY, code=grpc.StatusCode.INTERNAL)
        except grpc.RpcError as error:
            raise _cause(error, deadline) from error
        finally:
            sender.cancel()
            call.cancel()


def _cause(error: grpc.RpcError, deadline: Deadline) -> CallError:
    """Why a stream failed, even if grpc.aio has lost the status.

    A request written just as the call ends makes grpc.aio report INTERNAL with this text, whatever the true status.
    """
    found = error_of_rpc(error)
    if found.message != "Internal error from Core":
        return found
    if deadline.left() == 0:
        return DeadlineExceededError("the stream's timeout expired", code=grpc.StatusCode.DEADLINE_EXCEEDED)
    return UnavailableError("the stream broke off while a request was being sent", code=grpc.StatusCode.UNAVAILABLE)


async def _as_async(images: Iterable[ImageInput] | AsyncIterable[ImageInput]) -> AsyncIterator[ImageInput]:
    if isinstance(images, AsyncIterable):
        async for item in images:
            yield item
    else:
        for item in images:
            yield item
