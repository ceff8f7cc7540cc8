"""Keeps a gateway's channels connected to what runs their models, on an asyncio loop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.socket_link import SocketLink

#: How long to wait before trying again to reach a model process that is not available (yet).
RETRY_SECONDS = 0.05


class Links(Protocol):
    """Connects channels to their models."""

    def connect(self, channel: ModelChannel, replica: int, path: str) -> None:
        """Connect ``channel`` to the model that runs at ``path``."""

    def disconnect(self, channel: ModelChannel) -> None:
        """End the links of ``channel``, and make no new ones."""

    def close(self) -> None:
        """End every link."""


class ModelLinks:
    """Drives the links of all channels with the running loop's readers and writers."""

    def __init__(self, trusted: Callable[[socket.socket], bool] = lambda _: True) -> None:
        """``trusted`` tells of a connection whether a model process of ours is at its other end."""
        self._trusted = trusted
        self._tasks: dict[ModelChannel, list[asyncio.Task[None]]] = {}
        self._links: set[SocketLink] = set()

    def connect(self, channel: ModelChannel, replica: int, path: str) -> None:
        """Connect ``channel`` to the model process at ``path``, and again whenever it goes away."""
        channel.on_held_back = partial(pump_at, channel)
        self._tasks.setdefault(channel, []).append(asyncio.ensure_future(self._keep(channel, replica, path)))

    def disconnect(self, channel: ModelChannel) -> None:
        """End the links of ``channel``, and make no new ones."""
        for task in self._tasks.pop(channel, ()):
            task.cancel()
        for link in [link for link in self._links if link.channel is channel]:
            link.close()

    def close(self) -> None:
        """End every link."""
        for channel in list(self._tasks):
            self.disconnect(channel)

    async def _keep(self, channel: ModelChannel, replica: int, path: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, path)
            except OSError:
                sock.close()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not self._trusted(sock):
                sock.close()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            link = SocketLink(channel, replica, sock)
            ended = asyncio.Event()
            link.on_backlog = self._write_later
            link.on_close = partial(self._forget, ended)
            self._links.add(link)
            loop.add_reader(link.fileno(), link.on_readable)
            await ended.wait()

    def _forget(self, ended: asyncio.Event, link: SocketLink) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(link.fileno())
        loop.remove_writer(link.fileno())
        self._links.discard(link)
        ended.set()

    def _write_later(self, link: SocketLink) -> None:
        asyncio.get_running_loop().add_writer(link.fileno(), self._write, link)

    @staticmethod
    def _write(link: SocketLink) -> None:
        link.on_writable()
        if not link.closed and not link.wants_write:
            asyncio.get_running_loop().remove_writer(link.fileno())


def pump_at(channel: ModelChannel, due_ns: int) -> None:
    """Let ``channel`` look at its queue again when the batch that it holds back is due."""
    delay = max(0.0, (due_ns - time.monotonic_ns()) / 1e9)
    asyncio.get_running_loop().call_later(delay, lambda: channel.pump(time.monotonic_ns()))
