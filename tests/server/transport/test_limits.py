"""What one client may take of a server, against real sockets: connections, calls, metadata, idling, pings."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.raw_http2 import HEADERS, frame, frames, headers
from support.server_process import TRANSPORTS, ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve_bench.http2 import (
    ACK,
    END_HEADERS,
    GOAWAY,
    MAX_CONCURRENT_STREAMS,
    PING,
    RST_STREAM,
    SETTINGS,
    preface,
)
from twinserve_bench.reliability.flood import Flood
from twinserve_client._channel import _DEFAULTS
from twinserve_server.host.memory import resident_bytes
from twinserve_server.transport import base
from twinserve_server.transport.aio import AioTransport
from twinserve_server.transport.base import ConnectionLimits, Door, ListenOptions

#: Of the servers below.
CALLS, CONNECTIONS, METADATA, IDLE = 4, 8, 16 << 10, 3.0
#: Their library bounds connections and idling, and counts pings.
BOUNDED = ("aio", "fast")
#: Nothing here takes so long.
SECONDS = 60.0
SERVICE = "/twinserve.v1.PredictService"

on_all = pytest.mark.parametrize("server", TRANSPORTS, indirect=True)
on_bounded = pytest.mark.parametrize("server", BOUNDED, indirect=True)


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One gateway with narrow limits."""
    flags = ["--gateways", "1", "--transport", request.param, "--max-connection-calls", str(CALLS)]
    if request.param in BOUNDED:
        flags += ["--max-connections", str(CONNECTIONS), "--max-idle-seconds", str(IDLE)]
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *flags) as process:
        yield process


def connect(port: int) -> socket.socket:
    """A connection that has said hello."""
    sock = socket.create_connection(("127.0.0.1", port), SECONDS)
    sock.sendall(preface())
    return sock


@on_all
def test_a_connection_is_told_how_many_calls_it_may_have_open(server: ServerProcess) -> None:
    with connect(server.grpc_port) as sock:
        settings = next(payload for kind, payload in frames(sock) if kind == SETTINGS)
    assert dict(struct.iter_unpack(">HI", settings))[MAX_CONCURRENT_STREAMS] == CALLS


@on_all
def test_calls_beyond_the_limit_wait_at_the_client(server: ServerProcess) -> None:
    def started() -> float:
        return server.metric("grpc_server_started_total", grpc_method="PredictStream")

    before, over = started(), threading.Event()

    def nothing_yet() -> Iterator[bytes]:
        over.wait(SECONDS)
        yield from ()

    with server.connect() as channel:
        open_stream: Any = channel.stream_stream(f"{SERVICE}/PredictStream")
        calls = [open_stream(nothing_yet(), timeout=SECONDS) for _ in range(2 * CALLS)]
        wait_until(lambda: started() - before == CALLS, SECONDS)
        # Another connection has calls of its own, and by its answer the others would have begun.
        server.predict.Predict(request(items(1)), timeout=SECONDS)
        assert started() - before == CALLS
        for call in calls:
            call.cancel()
        over.set()


@on_all
def test_a_client_that_ignores_the_limit_is_refused(server: ServerProcess) -> None:
    with connect(server.grpc_port) as sock:
        for stream in range(1, 20 * CALLS, 2):
            sock.sendall(frame(HEADERS, END_HEADERS, stream, headers(f"{SERVICE}/Predict")))
        assert any(kind in (RST_STREAM, GOAWAY) for kind, _ in frames(sock))
    server.predict.Predict(request(items(1)), timeout=SECONDS)


@on_all
def test_metadata_are_taken_up_to_the_limit(server: ServerProcess) -> None:
    def send(size: int) -> Any:
        metadata = (("x-long", "a" * size),)
        return server.predict.Predict.future(request(items(1)), timeout=SECONDS, metadata=metadata).exception()

    assert send(METADATA // 2) is None
    # The native transport's library says so in HTTP's words (431), which gRPC clients take for UNKNOWN.
    assert send(2 * METADATA).code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN)


@on_bounded
def test_metadata_count_as_what_they_stand_for(server: ServerProcess) -> None:
    """A byte of HPACK stands for a whole field: of a thousand, gRPC core would count the thousand bytes."""
    with connect(server.grpc_port) as sock:
        block = headers(f"{SERVICE}/Predict") + b"\x90" * 1000  # "accept-encoding: gzip, deflate"
        sock.sendall(frame(HEADERS, END_HEADERS, 1, block))
        ends = (payload for kind, payload in frames(sock) if kind == HEADERS and b"grpc-status" in payload)
        end = next(ends)
    assert b"grpc-status\x018" in end
    assert b"--max-metadata-kib" in end


@on_bounded
def test_connections_beyond_the_limit_are_closed_and_others_serve_on(server: ServerProcess) -> None:
    server.predict.Predict(request(items(1)), timeout=SECONDS)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server.grpc_port)) for _ in range(2 * CONNECTIONS)]
        greeted = [any(kind == SETTINGS for kind, _ in frames_until_settings(sock)) for sock in socks]
        # One is the client's that has asked.
        assert sum(greeted) <= CONNECTIONS - 1
        server.predict.Predict(request(items(1)), timeout=SECONDS)
    # A closed connection counts until the server has seen its end.
    wait_until(lambda: greets(server), SECONDS)


def greets(server: ServerProcess) -> bool:
    """Whether a new connection is taken."""
    with connect(server.grpc_port) as sock:
        return any(kind == SETTINGS for kind, _ in frames_until_settings(sock))


def frames_until_settings(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """As :func:`frames`, but for what comes after the server's own greeting."""
    for kind, payload in frames(sock):
        yield kind, payload
        if kind == SETTINGS:
            return


@on_bounded
def test_an_idle_connection_is_closed_in_order(server: ServerProcess) -> None:
    with connect(server.grpc_port) as sock:
        # The server says so, and closes it once the client does not come back to it.
        assert GOAWAY in (kind for kind, _ in frames(sock))
    server.predict.Predict(request(items(1)), timeout=SECONDS)


@on_bounded
def test_a_client_that_pings_without_end_is_sent_away(server: ServerProcess) -> None:
    with connect(server.grpc_port) as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                sock.sendall(frame(PING, 0, 0, bytes(8)))
        assert any(kind == GOAWAY and b"too_many_pings" in payload for kind, payload in frames(sock))


@on_bounded
def test_calls_that_are_begun_and_reset_without_end_do_not_pile_up(server: ServerProcess) -> None:
    (pid,) = [process.pid for process in server.processes() if process.name == "gateway-0"]
    before = resident_bytes(pid).rss
    assert Flood(server.grpc_port, "reset", 2).run(2.0).times > 10 * CALLS
    # Unbounded, each of them holds some 10 KiB until the server comes round to it.
    assert resident_bytes(pid).rss - before < 64 << 20
    server.predict.Predict(request(items(1)), timeout=SECONDS)


def test_the_sdk_pings_less_often_than_a_server_allows() -> None:
    assert dict(_DEFAULTS)["grpc.keepalive_time_ms"] > base.LEAST_PING_MS
    assert dict(base.channel_arguments(ListenOptions("", 0, False, 1)))["grpc.keepalive_permit_without_calls"] == 1


async def test_a_client_that_does_not_answer_pings_is_given_up(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(base, "KEEPALIVE_MS", 200)
    monkeypatch.setattr(base, "KEEPALIVE_TIMEOUT_MS", 200)
    options = ListenOptions("127.0.0.1", unused_tcp_port, False, 1 << 20, None, ConnectionLimits())
    transport = AioTransport([Door(options, [])])
    await transport.start()

    def silent() -> list[int]:
        with connect(unused_tcp_port) as sock:
            # Its settings are acknowledged, so that nothing else ends it.
            sock.sendall(frame(SETTINGS, ACK, 0, b""))
            return [kind for kind, _ in frames(sock)]

    assert {PING, GOAWAY} <= set(await asyncio.to_thread(silent))
    await transport.drain(1.0)
