"""What becomes of a request on its way through a real server."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from support.server_process import TRANSPORTS, ServerProcess, failures, request, wait_until
from support.tiny_model import POISON, classes_of, items
from twinserve.v1 import predict_pb2, predict_pb2_grpc
from twinserve_client import Client, InternalError

Serve = Callable[..., ServerProcess]
#: One model process that burns time, one image a pass: what waits, waits in the queue.
ONE_AT_A_TIME = ("--variants", "slow", "--replicas", "slow=1", "--max-batch-size", "1", "--gateways", "1")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_past_its_deadline_is_not_run(odd_models: Path, serve: Serve, transport: str) -> None:
    server = serve(odd_models, *ONE_AT_A_TIME, "--transport", transport, "--hang-seconds", "0")
    pixels = items(1)
    # The model process stands still: the first request is with it, the others wait until their deadline.
    pid = server.stop_process("tiny-slow-0")
    patient = server.predict.Predict.future(request(pixels), timeout=120)
    wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 1, 30)
    hasty = [server.predict.Predict.future(request(pixels), timeout=2) for _ in range(8)]
    assert [error.code() for error in failures(hasty)] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 8
    os.kill(pid, signal.SIGCONT)
    patient.result()
    # One more: when it is answered, everything before it has left the queue.
    server.predict.Predict(request(pixels), timeout=120)
    # Those that nobody waits for did not run, but for one or two that had left the queue.
    assert 2 <= server.metric("twinserve_batch_size_images_count", variant="slow") <= 4
    late = server.metric("grpc_server_started_total", grpc_method="Predict") - 2
    assert late > 0
    # A caller's deadline that comes well before the server's view of it looks like a caller that left.
    ends = ("DEADLINE_EXCEEDED", "CANCELLED")
    assert sum(server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code=end) for end in ends) == late
    assert sum(server.metric("twinserve_requests_total", code=end) for end in ends) == late


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_request_whose_caller_is_gone_is_not_run(odd_models: Path, serve: Serve, transport: str) -> None:
    server = serve(odd_models, *ONE_AT_A_TIME, "--transport", transport)
    pixels = items(1)
    patient = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(8)]
    gone = [server.predict.Predict.future(request(pixels), timeout=30) for _ in range(8)]
    wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 16, 10)
    for call in gone:
        call.cancel()
    for call in patient:
        call.result()
    server.predict.Predict(request(pixels), timeout=30)
    passes = server.metric("twinserve_batch_size_images_count", variant="slow")
    # Seventeen were sent; the eight that nobody waits for did not run, but for one or two that had started.
    assert 9 <= passes <= 12
    # A request that was being answered when its caller left may count as OK.
    cancelled = server.metric("grpc_server_handled_total", grpc_method="Predict", grpc_code="CANCELLED")
    assert 6 <= cancelled <= 8
    # So may, in the engine's count alone, the one whose answer was on its way.
    assert server.metric("twinserve_requests_total", code="CANCELLED") in (cancelled, cancelled - 1)


def test_of_a_failing_batch_only_the_poisoned_requests_fail(odd_models: Path, serve: Serve) -> None:
    # Held back, so that good and poisoned requests do share batches.
    server = serve(odd_models, "--variants", "fragile", "--gateways", "1", "--max-queue-delay-us", "200000")
    good, poisoned = items(1), items(1)
    poisoned[0, 3, 3] = POISON
    calls = [
        server.predict.Predict.future(request(poisoned if index % 5 == 0 else good), timeout=30) for index in range(50)
    ]
    for error in failures(calls[::5]):
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "variant 'fragile': the forward pass failed" in error.details()
    assert len(failures(calls)) == 10
    for index, call in enumerate(calls):
        if index % 5:
            assert list(call.result().classes) == classes_of(good).tolist()
    became = {
        outcome: server.metric("twinserve_failed_batch_images_total", outcome=outcome)
        for outcome in ("rescued", "poisoned", "not_run")
    }
    assert (became["poisoned"], became["not_run"]) == (10, 0)
    assert became["rescued"] >= 1
    assert 1 <= server.metric("twinserve_failed_batches_total") <= 10


def test_values_outside_of_the_stated_range_are_refused(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "fp32", "--gateways", "1")
    floats = np.full((2, 4, 4), 0.5, np.float32)
    floats[1, 0, 3] = 255
    given = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=floats.shape, data=floats.tobytes())
    with pytest.raises(grpc.RpcError) as caught:
        server.predict.Predict(predict_pb2.PredictRequest(input=given), timeout=30)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "input.data: holds 255 at element 19; tiny takes 0 to 1, and 1 of 32 values" in (
        caught.value.details() or ""
    )


def test_without_batching_not_even_the_requests_of_two_gateways_share_a_pass(tiny_models: Path, serve: Serve) -> None:
    server = serve(tiny_models, "--no-batching", "--gateways", "2")
    channels = [server.connect() for _ in range(16)]
    stubs: Any = [predict_pb2_grpc.PredictServiceStub(channel) for channel in channels]
    calls = [stub.Predict.future(request(items(1)), timeout=30) for _ in range(40) for stub in stubs]
    assert failures(calls) == []
    gateways = {dict(labels)["gateway"] for name, labels in server.scrape() if name == "twinserve_in_flight_images"}
    assert len(gateways) == 2
    assert server.metric("twinserve_batch_size_images_count") == server.metric("twinserve_batch_size_images_sum") == 640


def test_the_sdk_tells_the_id_that_the_server_gave_a_failed_request(odd_models: Path, serve: Serve) -> None:
    server = serve(odd_models, "--variants", "fragile", "--gateways", "1")
    poisoned = items(1)
    poisoned[0, 3, 3] = POISON
    with Client(server.target) as client, pytest.raises(InternalError) as caught:
        client.predict(poisoned)
    assert re.fullmatch(r"0-[0-9a-f]{8}-1", caught.value.request_id)


def test_a_full_queue_refuses_and_says_when_to_try_again(odd_models: Path, serve: Serve) -> None:
    server = serve(
        odd_models, "--variants", "slow", "--replicas", "slow=1", "--max-queue-images", "4", "--gateways", "1"
    )
    calls = [server.predict.Predict.future(request(items(4)), timeout=60) for _ in range(12)]
    refused = failures(calls)
    assert refused
    assert len(refused) < len(calls)
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "would exceed its limit of 4 images; try again later" in error.details()
    assert server.metric("twinserve_refused_total", reason="QUEUE_FULL") == len(refused)


def test_variants_never_wait_for_each_other(odd_models: Path, serve: Serve) -> None:
    server = serve(
        odd_models, "--variants", "slow,fp32", "--replicas", "slow=1,fp32=1", "--max-batch-size", "1", "--gateways", "1"
    )
    pixels = items(1)
    slow = [server.predict.Predict.future(request(pixels, variant="slow"), timeout=60) for _ in range(10)]
    for _ in range(20):
        server.predict.Predict(request(pixels, variant="fp32"), timeout=30)
    assert not all(call.done() for call in slow)
    for call in slow:
        call.result()
