"""Traffic of every kind that a board shows: named, split, sticky, shadowed, labelled, streamed, refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from support.server_process import ServerProcess, request
from support.tiny_model import classes_of, items
from twinserve.v1 import predict_pb2, predict_pb2_grpc


@contextmanager
def mixed_traffic(server: ServerProcess, pause: float = 0.01) -> Iterator[None]:
    """Send from two connections while the block runs."""
    done = threading.Event()
    threads = [threading.Thread(target=_send, args=(server, number, done, pause), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(30)


def _send(server: ServerProcess, number: int, done: threading.Event, pause: float) -> None:
    with server.connect() as channel:
        stub = predict_pb2_grpc.PredictServiceStub(channel)
        turn = 0
        while not done.wait(pause):
            turn += 1
            pixels = items(1 + turn % 4, seed=turn % 32)
            answer = stub.Predict(request(pixels, routing_key=str(turn % 8) if turn % 2 else ""), timeout=10)
            labels = predict_pb2.SendFeedbackRequest(request_id=answer.request_id, labels=classes_of(pixels).tolist())
            stub.SendFeedback(labels, timeout=10)
            for variant in ("fp32", "int8"):
                stub.Predict(request(pixels, variant=variant), timeout=10)
            if turn % 5 == number:
                list(stub.PredictStream(iter([request(pixels)] * 8), timeout=10))
                stub.Compare(predict_pb2.CompareRequest(input=request(pixels).input), timeout=10)
            if turn % 7 == number:
                with pytest.raises(grpc.RpcError):
                    stub.Predict(request(pixels, variant="int4"), timeout=10)
