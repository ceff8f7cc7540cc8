"""What may wait for a variant is bounded in requests, images and bytes, on every transport."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
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

BOUNDS = ("--max-queue-requests", "20", "--max-queue-images", "20000", "--max-queue-mib", "1")
MANY = 1024


def floats(count: int) -> predict_pb2.PredictRequest:
    """A request for so many images of 64 bytes each."""
    values = np.zeros((count, 4, 4), np.float32)
    given = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=values.shape, data=values.tobytes())
    return predict_pb2.PredictRequest(input=given, variant="fp32")


#: A request, how many of it fill the queue, images and bytes of each, and what the next one is told.
FULL = [
    (request(items(1), variant="fp32"), 20, 1, 16, "holds 20 requests, 1 more would pass its limit of 20 requests"),
    (request(items(MANY), variant="fp32"), 19, MANY, 16 * MANY, "limit of 20000 images"),
    (floats(MANY), 16, MANY, 64 * MANY, "limit of 1048576 bytes"),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_bound_refuses_at_once_and_says_which_it_is(
    tiny_models: Path, serve: Callable[..., ServerProcess], transport: str
) -> None:
    server = serve(tiny_models, "--gateways", "1", "--transport", transport, "--hang-seconds", "0", *BOUNDS)
    call = server.predict.Predict
    # The model process stands still, with one request: all others wait.
    pid = server.stop_process("tiny-fp32-0")
    held = call.future(request(items(1), variant="fp32"), timeout=120)
    wait_until(lambda: server.metric("twinserve_in_flight_bytes", variant="fp32") == 16, 30)
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
    os.kill(pid, signal.SIGCONT)
    held.result()
    assert server.metric("twinserve_refused_total", reason="QUEUE_FULL") == len(FULL)
    wait_until(lambda: server.metric("twinserve_in_flight_bytes") == 0, 30)


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
