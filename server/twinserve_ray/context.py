"""A call as a Serve deployment is given it, in the form that the server's handlers take: gRPC's context."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from twinserve_ray.services import TIMEOUT_KEY
from twinserve_server.rpc.status import Metadata

if TYPE_CHECKING:
    from ray.serve.grpc_util import RayServegRPCContext


class Encoded:
    """An encoded response; Serve asks every response for its bytes."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802  (protobuf's name)
        """The bytes."""
        return self._data


class CallContext:
    """What a handler needs of gRPC's context."""

    def __init__(self, context: RayServegRPCContext) -> None:
        self._context = context
        self._trailing: Metadata = ()
        self._arrived = time.monotonic()
        timeout = next((value for key, value in context.invocation_metadata() if key == TIMEOUT_KEY), None)
        self._timeout = None if timeout is None else float(timeout)
        #: The messages written to a stream, then None.
        self.written: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """What the caller sent."""
        return list(self._context.invocation_metadata())

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: there is none."""
        return None if self._timeout is None else self._timeout - (time.monotonic() - self._arrived)

    def peer(self) -> str:
        """The address of the caller's connection to the proxy."""
        return str(self._context.peer())

    def code(self) -> Any:
        """The status, if it was set."""
        return self._context.code()

    def details(self) -> str:
        """What was said about the status."""
        return str(self._context.details())

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status that the caller reads."""
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """What is said about it."""
        self._context.set_details(details)

    def trailing_metadata(self) -> Metadata:
        """What was set."""
        return self._trailing

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """What goes along with the status."""
        self._trailing = trailing_metadata
        self._context.set_trailing_metadata(list(trailing_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        """End the call.

        Raises:
            grpc.aio.AbortError: always.
        """
        self.set_code(code)
        self.set_details(details)
        raise grpc.aio.AbortError

    async def write(self, message: Any) -> None:
        """Send one message of a stream, once the one before it has been taken."""
        await self.written.put(message if isinstance(message, bytes) else message.SerializeToString())
