"""Calls whose clients fall silent, against real servers: they end, are counted and logged; those in use live on."""

from __future__ import annotations

import queue
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.raw_http2 import DATA, HEADERS, frame, frames, headers, message
from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve.v1 import predict_pb2
from twinserve_bench.http2 import END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, RST_STREAM, SETTINGS

#: Of the servers below.
IDLE = 3.0
#: Nothing here takes so long.
SECONDS = 60.0
SERVICE = "/twinserve.v1.PredictService"

#: In this order: pytest starts a server anew where the place of its transport in the list changes.
on_all = pytest.mark.parametrize("server", ["fast", "aio", "native"], indirect=True)
on_fast = pytest.mark.parametrize("server", ["fast"], indirect=True)


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One gateway that is impatient."""
    flags = ("--gateways", "1", "--transport", request.param, "--max-idle-call-seconds", str(IDLE))
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *flags) as process:
        process.transport = request.param
        yield process


@on_all
def test_calls_whose_message_never_comes_end(server: ServerProcess) -> None:
    # The native transport's library waits for the message of a Predict by itself.
    methods = ["Compare", "PredictStream"] if server.transport == "native" else ["Predict", "Compare", "PredictStream"]
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(SECONDS)
        yield from ()

    open_calls: list[Any] = [server.channel.stream_stream(f"{SERVICE}/{method}") for method in methods]
    calls = [open_call(nothing()) for open_call in open_calls]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "for 3 s, the limit of this server (--max-idle-call-seconds)" in (caught.value.details() or "")
    over.set()
    for method in methods:
        wait_until(lambda method=method: counted(server, method, "DEADLINE_EXCEEDED") == 1, SECONDS, server.log)
        assert server.metric("grpc_server_started_total", grpc_method=method) == 1
    assert re.search(r"idle_calls_ended .*peers=\['(ipv4|unix):", server.log())


@on_all
def test_a_stream_in_use_lives_on(server: ServerProcess) -> None:
    asked: queue.Queue[predict_pb2.PredictRequest | None] = queue.Queue()
    stream = server.predict.PredictStream(iter(asked.get, None), timeout=SECONDS)
    until = time.monotonic() + 2 * IDLE
    while time.monotonic() < until:
        asked.put(request(items(1)))
        assert next(stream).response.classes
        time.sleep(IDLE / 20)
    asked.put(None)
    assert list(stream) == []


@on_fast
@pytest.mark.parametrize("method", ["Predict", "Compare"])
def test_an_answer_that_is_not_taken_is_dropped(server: ServerProcess, method: str) -> None:
    closed = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    body = message()
    with socket.create_connection(("127.0.0.1", server.grpc_port), SECONDS) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, closed))
        sock.sendall(frame(HEADERS, END_HEADERS, 1, headers(f"{SERVICE}/{method}")))
        sock.sendall(frame(DATA, END_STREAM, 1, b"\0" + len(body).to_bytes(4, "big") + body))
        assert any(kind == RST_STREAM for kind, _ in frames(sock))
    # What a coroutine answered is counted when it has answered.
    code = "CANCELLED" if method == "Predict" else "OK"
    wait_until(lambda: counted(server, method, code) == 1, SECONDS, server.log)


def counted(server: ServerProcess, method: str, code: str) -> float:
    return server.metric("grpc_server_handled_total", grpc_method=method, grpc_code=code)
