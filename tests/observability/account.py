"""Clients that keep account: how many requests they sent to which variant, and with which status each ended."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

import grpc
import numpy as np

from support.server_process import ServerProcess, request
from support.tiny_model import items
from twinserve.v1 import predict_pb2, predict_pb2_grpc

#: What a client sends, in turn: (variant, status it must end with while nothing is killed).
TURNS = (
    ("fp32", "OK"),
    ("int8", "OK"),
    ("fp32", "OK"),
    ("int8", "OK"),
    ("int4", "NOT_FOUND"),
    ("fp32", "INVALID_ARGUMENT"),
)


class Accountants:
    """Closed-loop clients: each with a connection of its own, one request of one image in flight, and no retries."""

    def __init__(self, server: ServerProcess, count: int) -> None:
        self.count = count
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]
        self._lock = threading.Lock()
        #: (variant, status name) -> requests
        self.ended: Counter[tuple[str, str]] = Counter()
        self.unexpected: list[str] = []

    def __enter__(self) -> Accountants:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more; return when every request has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def by_code(self) -> dict[str, int]:
        """Requests by status."""
        codes: Counter[str] = Counter()
        for (_, code), count in self.ended.items():
            codes[code] += count
        return dict(codes)

    def answered(self) -> int:
        """Requests that ended well so far."""
        with self._lock:
            return sum(count for (_, code), count in self.ended.items() if code == "OK")

    def _run(self, index: int) -> None:
        turn = index
        while not self._stop.is_set():
            with self._connect() as channel:
                stub = predict_pb2_grpc.PredictServiceStub(channel)
                code = ""
                # A connection that broke is left at once: gRPC would still put a new request on it, which no server
                # ever sees, and call that UNAVAILABLE too.
                while code != "UNAVAILABLE" and not self._stop.is_set():
                    turn += 1
                    code = self._take_turn(stub, turn)

    def _connect(self) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        return grpc.insecure_channel(self._server.target, options)

    def _take_turn(self, stub: predict_pb2_grpc.PredictServiceStub, turn: int) -> str:
        variant, expected = TURNS[turn % len(TURNS)]
        message = request(items(1, seed=turn % 16), variant=variant)
        if expected == "INVALID_ARGUMENT":
            message.input.data += b"\0"
        code = self._send(stub, message)
        with self._lock:
            self.ended[variant, code] += 1
            if code not in (expected, "UNAVAILABLE"):
                self.unexpected.append(f"{variant}: {code} instead of {expected}")
        return code

    @staticmethod
    def _send(stub: predict_pb2_grpc.PredictServiceStub, message: predict_pb2.PredictRequest) -> str:
        try:
            # Waiting for a connection: a request that never left must not count as one that failed.
            answer = stub.Predict(message, timeout=60, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
        assert len(np.asarray(answer.classes)) == message.input.shape[0]
        return "OK"
