"""Keeps a gateway's channels connected to their model processes, on an asyncio loop."""

from __future__ import annotations

import asyncio
import socket
import time

from twinserve_server.core.channel import ModelChannel
from twinserve_server.core.link import Link

#: How long to wait before the next try to reach a model process that is not there (yet).
RETRY_SECONDS = 0.05


class ModelLinks:
    """Drives the links of all channels with the running loop's readers and writers."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._links: set[Link] = set()

    def connect(self, channel: ModelChannel, replica: int, path: str) -> None:
        """Connect ``channel`` to the model process at ``path``, and again whenever it goes away."""
        channel.on_held_back = lambda due_ns: self._pump_at(channel, due_ns)
        self._tasks.append(asyncio.ensure_future(self._keep(channel, replica, path)))

    def close(self) -> None:
        """End every link."""
        for task in self._tasks:
            task.cancel()
        for link in list(self._links):
            self._end(link)

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
            link = Link(channel, replica, sock)
            link.on_backlog = self._write_later
            self._links.add(link)
            ended = asyncio.Event()
            loop.add_reader(link.fileno(), self._read, link, link.fileno(), ended)
            await ended.wait()
            self._links.discard(link)

    def _read(self, link: Link, fd: int, ended: asyncio.Event) -> None:
        link.on_readable()
        if link.closed:
            # The descriptor is closed, but the loop still watches its number.
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            ended.set()

    def _write_later(self, link: Link) -> None:
        asyncio.get_running_loop().add_writer(link.fileno(), self._write, link, link.fileno())

    def _write(self, link: Link, fd: int) -> None:
        link.on_writable()
        if link.closed or not link.wants_write:
            asyncio.get_running_loop().remove_writer(fd)

    def _end(self, link: Link) -> None:
        if not link.closed:
            fd = link.fileno()
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            link.close()

    @staticmethod
    def _pump_at(channel: ModelChannel, due_ns: int) -> None:
        delay = max(0.0, (due_ns - time.monotonic_ns()) / 1e9)
        asyncio.get_running_loop().call_later(delay, lambda: channel.pump(time.monotonic_ns()))
