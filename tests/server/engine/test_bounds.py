"""What may wait for a variant is bounded in requests, images and bytes, on every transport."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.server_process import TRANSPORTS, ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve.v1 import predict_pb2
from twinserve_client import AsyncClient, Client, OverloadedError

BOUNDS = ("--max-queue-requests", "20", "--max-queue-images", "20000", "--max-queue-mib", "1")
MANY = 1024
#: Seconds. With less the server may expect the deadline to pass in the queue, since the model has stood still before.
PATIENCE = 900


def floats(count: int) -> predict_pb2.PredictRequest:
    """A request for so many images of 64 bytes each."""
    values = np.zeros((count, 4, 4), np.float32)
    given = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=values.shape, data=values.tobytes())
    return predict_pb2.PredictRequest(input=given, variant="fp32")


#: A request, how many of it fill the queue, images and bytes of each, and what the next one is told.
FULL = [
    (request(items(1), variant="fp32"), 20, 1, 16, "holds 20 requests, 1 more would exceed its limit of 20 requests"),
    (request(items(MANY), variant="fp32"), 19, MANY, 16 * MANY, "limit of 20000 images"),
    (floats(MANY), 16, MANY, 64 * MANY, "limit of 1048576 bytes"),
]


@pytest.fixture(scope="module", params=TRANSPORTS)
def bounded(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with small queues."""
    flags = ("--gateways", "1", "--transport", request.param, "--hang-seconds", "0", *BOUNDS)
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *flags) as process:
        yield process


@pytest.fixture
def server(bounded: ServerProcess) -> Iterator[ServerProcess]:
    """The same while the model process of fp32 stands still, with one request: all others wait."""
    pid = bounded.stop_process("tiny-fp32-0")
    try:
        held = bounded.predict.Predict.future(request(items(1), variant="fp32"), timeout=120)
        wait_until(lambda: bounded.metric("twinserve_in_flight_bytes", variant="fp32") == 16, 30)
        yield bounded
    finally:
        os.kill(pid, signal.SIGCONT)
    held.result()
    wait_until(lambda: bounded.metric("twinserve_in_flight_bytes") == 0, 30)


def test_each_bound_refuses_at_once_and_says_which_it_is(server: ServerProcess) -> None:
    call, before = server.predict.Predict, refusals(server)
    for message, count, images, size, told in FULL:
        waiting = [call.future(message, timeout=120) for _ in range(count)]
        wait_until(lambda: waits(server) == (count, count * images, count * size), 30)  # noqa: B023
        with pytest.raises(grpc.RpcError) as caught:
            call(message, timeout=120)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert told in (caught.value.details() or "")
        assert 0 < retry_seconds(caught.value) < 3
        for each in waiting:
            each.cancel()
        wait_until(lambda: waits(server) == (0, 0, 0), 30)
    assert refusals(server) - before == len(FULL)


async def test_both_clients_come_again_until_there_is_room_if_they_are_told_to(server: ServerProcess) -> None:
    waiting = [server.predict.Predict.future(request(items(1), variant="fp32"), timeout=120) for _ in range(20)]
    wait_until(lambda: waits(server)[0] == 20, 30)
    with Client(server.target) as hasty, pytest.raises(OverloadedError, match="its limit of 20 requests") as caught:
        hasty.predict(items(1), variant="fp32", timeout=PATIENCE)
    assert caught.value.retry_after is not None
    before = refusals(server)
    with Client(server.target, retry_exhausted=True) as client:
        threaded = asyncio.ensure_future(asyncio.to_thread(client.predict, items(1), variant="fp32", timeout=PATIENCE))
        async with AsyncClient(server.target, retry_exhausted=True) as other:
            awaited = asyncio.ensure_future(other.predict(items(1), variant="fp32", timeout=PATIENCE))
            # More refusals than there are clients: they have come again.
            await asyncio.to_thread(wait_until, lambda: refusals(server) - before >= 5, 60)
            for each in waiting:
                each.cancel()
            await asyncio.to_thread(wait_until, lambda: waits(server)[0] == 2, 30)
            (pid,) = [process.pid for process in server.processes() if process.name == "tiny-fp32-0"]
            os.kill(pid, signal.SIGCONT)
            assert (await threaded).variant == (await awaited).variant == "fp32"


def refusals(server: ServerProcess) -> float:
    """So far, because a queue was full."""
    return server.metric("twinserve_refused_total", reason="QUEUE_FULL")


def waits(server: ServerProcess) -> tuple[float, ...]:
    """Requests, images and bytes."""
    page = server.scrape()
    return tuple(
        sum(value for (name, _), value in page.items() if name == f"twinserve_queue_depth_{what}")
        for what in ("requests", "images", "bytes")
    )


def retry_seconds(error: Any) -> float:
    """What the refusal's RetryInfo says."""
    retry = error_details_pb2.RetryInfo()
    status: Any = rpc_status.from_call(error)
    assert any(detail.Unpack(retry) for detail in status.details)
    seconds: float = retry.retry_delay.ToNanoseconds() / 1e9
    return seconds
