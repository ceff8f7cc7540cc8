"""The portable transport under more calls than gRPC core would keep by itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import grpc

from twinserve_server.rpc.method import RpcMethod
from twinserve_server.rpc.serve import serve
from twinserve_server.transport.aio import AioTransport
from twinserve_server.transport.base import ConnectionLimits, Door, ListenOptions

CALLS = 4000


class Tally:
    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def started(self, count: int = 1) -> None:
        self.codes["begun"] += 1

    def handled(self, code: str, _seconds: float) -> None:
        self.codes[code] += 1


async def echo(raw: bytes, _context: Any) -> bytes:
    return raw


def outcomes(target: str) -> Counter[str]:
    """How so many calls end that are sent at once, while the server is busy with something else."""
    with grpc.insecure_channel(target) as channel:
        call: Any = channel.unary_unary("/service/Echo")
        calls = [call.future(b"x", timeout=60) for _ in range(CALLS)]
        return Counter("OK" if (error := each.exception()) is None else error.code().name for each in calls)


async def test_no_call_is_cancelled_because_others_arrived_before_it(unused_tcp_port: int) -> None:
    tally = Tally()
    options = ListenOptions("127.0.0.1", unused_tcp_port, False, 1 << 20, None, ConnectionLimits(calls=CALLS))
    transport = AioTransport([Door(options, [serve(RpcMethod("service", "Echo", None, echo), tally)])])
    await transport.start()
    calling = asyncio.ensure_future(asyncio.to_thread(outcomes, options.address))
    while not tally.codes["OK"]:  # noqa: ASYNC110  (the transport tells nobody)
        await asyncio.sleep(0.001)
    time.sleep(1.0)  # noqa: ASYNC251  (the loop takes no calls while they arrive)
    assert await calling == {"OK": CALLS}
    assert tally.codes == {"begun": CALLS, "OK": CALLS}
    await transport.drain(1.0)
