"""A gateway's links to a model process: whichever way one ends, the next one takes its place."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine import frames
from twinserve_server.engine.batch_queue import BatchPolicy
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.job import Batch, Job
from twinserve_server.engine.link import Link
from twinserve_server.engine.links import ModelLinks
from twinserve_server.errors import ModelUnavailableError

HELLO = frames.hello()
VERSION = ModelVersion("m", "1", (4,), ("UINT8",), "probabilities", ("a", "b"), {})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (the channel tells nobody)
            await asyncio.sleep(0.005)


async def test_a_link_that_fails_while_it_writes_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    done: list[Job] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        channel, links = ModelChannel(VERSION, "int8", BatchPolicy(), lambda _: None), ModelLinks()
        links.connect(channel, 0, path)
        loop = asyncio.get_running_loop()
        for _ in range(3):
            process, _ = await loop.sock_accept(listener)
            process.sendall(HELLO)
            await until(lambda: channel.ready)
            # The loop has no chance to see the end of the stream before the batch is written.
            process.close()
            channel.submit(Job(bytes(4), "UINT8", 1, done.extend))
            assert isinstance(done.pop().error, ModelUnavailableError)
            assert not channel.ready
        links.close()


async def test_a_link_that_its_process_ends_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        channel, links = ModelChannel(VERSION, "int8", BatchPolicy(), lambda _: None), ModelLinks()
        links.connect(channel, 0, path)
        for _ in range(3):
            process, _ = await asyncio.get_running_loop().sock_accept(listener)
            process.sendall(HELLO)
            await until(lambda: channel.ready)
            process.close()
            await until(lambda: not channel.ready)
        links.close()


class QuickLink(Link):
    """Leads to a model that is never busy."""

    def __init__(self, channel: ModelChannel) -> None:
        super().__init__(channel)
        self.sent = 0

    def send(self, batch: Batch) -> None:
        self.sent += 1

    def _disconnect(self) -> None:
        self.sent = 0


def test_links_that_are_equally_free_take_turns() -> None:
    channel = ModelChannel(VERSION, "int8", BatchPolicy(), lambda _: None)
    links = [QuickLink(channel) for _ in range(3)]
    for link in links:
        channel.add(link)
    for _ in range(6):
        channel.submit(Job(bytes(4), "UINT8", 1, lambda _: None))
    assert [link.sent for link in links] == [2, 2, 2]
