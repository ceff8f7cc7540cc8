"""One AsyncClient and several event loops."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from support.digit_server import SHAPE, Server
from support.server_process import wait_until
from twinserve_client import AsyncClient, CallCancelledError, ClientClosedError, ConfigurationError

IMAGE = np.zeros(SHAPE, np.uint8)


def test_a_client_goes_on_in_a_new_loop_when_the_old_one_has_ended(server: Server) -> None:
    client = AsyncClient(server.target)

    async def use() -> tuple[str, int]:
        answers = await asyncio.gather(*(client.predict(IMAGE) for _ in range(20)))
        return answers[0].label, len([answer async for answer in client.predict_stream([IMAGE] * 3)])

    assert [asyncio.run(use()) for _ in range(3)] == [("zero", 3)] * 3
    asyncio.run(client.close())
    with pytest.raises(ClientClosedError):
        asyncio.run(client.predict(IMAGE))


def test_a_second_loop_beside_the_first_is_told_plainly(server: Server) -> None:
    client = AsyncClient(server.target)
    told: list[str] = []

    def elsewhere() -> None:
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(client.predict(IMAGE))
        told.append(str(caught.value))

    async def use() -> None:
        await client.predict(IMAGE)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert (await client.predict(IMAGE)).label == "zero"
        await client.close()

    asyncio.run(use())
    assert told == [
        "this AsyncClient belongs to another event loop, which is still open; make one client for each loop"
    ]


def test_closing_ends_calls_in_flight_with_an_error_of_ours(server: Server) -> None:
    server.behaviour.holding = True

    async def use() -> list[object]:
        client = AsyncClient(server.target)
        asking = [asyncio.ensure_future(client.predict(IMAGE)) for _ in range(3)]
        await asyncio.to_thread(wait_until, lambda: server.behaviour.calls, 30)
        await client.close()
        return list(await asyncio.gather(*asking, return_exceptions=True))

    assert all(isinstance(outcome, ClientClosedError | CallCancelledError) for outcome in asyncio.run(use()))


def test_a_task_that_is_cancelled_stays_cancelled(server: Server) -> None:
    server.behaviour.holding = True

    async def use() -> None:
        async with AsyncClient(server.target) as client:
            asking = asyncio.ensure_future(client.predict(IMAGE))
            await asyncio.to_thread(wait_until, lambda: server.behaviour.calls, 30)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(use())
