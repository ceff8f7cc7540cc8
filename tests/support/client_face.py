"""Both clients behind one face, so that one suite tests both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from twinserve_client import AsyncClient, Client


class Face:
    """Uses ``Client`` and ``AsyncClient`` alike: what is awaitable is awaited in one event loop."""

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self._loop = asyncio.new_event_loop() if asynchronous else None
        self._opened: list[Any] = []

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """A client that is closed with the test."""
        client = (AsyncClient if self.asynchronous else Client)(*args, **kwargs)
        self._opened.append(client)
        return client

    def run(self, result: Any) -> Any:
        """The value of a method's result, whichever face it came from."""
        if self._loop is None:
            return result
        assert inspect.isawaitable(result)

        async def wait(awaitable: Awaitable[Any]) -> Any:
            return await awaitable

        return self._loop.run_until_complete(wait(result))

    def take(self, stream: Any, count: int | None = None) -> list[Any]:
        """The next ``count`` outcomes of a stream, or all that are left."""
        taken: list[Any] = []
        while count is None or len(taken) < count:
            try:
                taken.append(self.run(anext(stream)) if self.asynchronous else next(stream))
            except (StopIteration, StopAsyncIteration):
                break
        return taken

    async def pause(self) -> None:
        """Let the event loop go on."""
        await asyncio.sleep(0.01)

    def close_stream(self, stream: Any) -> None:
        """Leave a stream early."""
        if self.asynchronous:
            self.run(stream.aclose())
        else:
            stream.close()

    def close(self) -> None:
        """Close what the test opened."""
        for client in self._opened:
            if self.asynchronous:
                self.run(client.close())
            else:
                client.close()
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
