"""What h2load cannot do: a bidirectional stream with a window, and an open loop. A process of its own; prints JSON.

``python grpc_load.py stream|open --port P --variant int8 --seconds 3 [--in-flight 64] [--rate R] --models DIR``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np

from messages import TestSet
from twinserve.v1 import predict_pb2

METHOD = "/twinserve.v1.PredictService/"


async def stream(port: int, message: bytes, streams: int, in_flight: int, seconds: float) -> dict[str, float]:
    """Single images over ``streams`` bidirectional streams, ``in_flight`` of them unanswered in all."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    answered = 0

    async def one() -> None:
        nonlocal answered
        window = asyncio.Semaphore(in_flight // streams)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:

            async def requests() -> AsyncIterator[bytes]:
                while loop.time() < ends:
                    await window.acquire()
                    yield message

            async for _ in channel.stream_stream(METHOD + "PredictStream")(requests()):
                answered += 1
                window.release()

    started = loop.time()
    await asyncio.gather(*(one() for _ in range(streams)))
    return {"images_per_second": answered / (loop.time() - started)}


async def open_loop(port: int, message: bytes, connections: int, rate: float, seconds: float) -> dict[str, float]:
    """Poisson arrivals, drawn beforehand; latency from the intended send."""
    draw = random.Random(1)
    schedule, at = [], 0.0
    while at < seconds:
        at += draw.expovariate(rate)
        schedule.append(at)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(connections)]
    calls = [channel.unary_unary(METHOD + "Predict") for channel in channels]
    await asyncio.gather(*(call(message) for call in calls))
    latencies: list[float] = []
    late: list[float] = []
    started = time.perf_counter()

    async def send(index: int, due: float) -> None:
        late.append(time.perf_counter() - started - due)
        await calls[index % connections](message)
        latencies.append(time.perf_counter() - started - due)

    tasks = []
    for index, due in enumerate(schedule):
        # Close to the due time only other tasks may run: a timer would be late by a millisecond.
        while (wait := started + due - time.perf_counter()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait if wait > 0.002 else 0)
        tasks.append(asyncio.ensure_future(send(index, due)))
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    return {"p50_us": p50, "p99_us": p99, "rate": len(schedule) / seconds, "late_p99_us": np.percentile(late, 99) * 1e6}


def main() -> None:
    """Run one load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["stream", "open"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    message = TestSet(arguments.models).request(arguments.variant).SerializeToString()
    assert predict_pb2.PredictRequest.FromString(message).variant == arguments.variant
    if arguments.mode == "stream":
        work = stream(arguments.port, message, arguments.connections, arguments.in_flight, arguments.seconds)
    else:
        work = open_loop(arguments.port, message, arguments.connections, arguments.rate, arguments.seconds)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
