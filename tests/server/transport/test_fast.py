"""The fast transport: when it serves, and when it gives way to the portable one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.server_process import ServerProcess, request
from support.tiny_model import classes_of, items
from twinserve.v1 import predict_pb2
from twinserve_server.transport.fast import support

#: Starts a transport in a process of its own (gRPC core chooses its poller once a process) and says which one it is.
PROGRAM = """
import asyncio, sys
from twinserve_server.transport.fast import proof
from twinserve_server.transport.fast import support
from twinserve_server.transport import choice
from twinserve_server.transport.base import Door, ListenOptions, TransportError
{change}
async def main():
    try:
        transport = await choice.start_transport(
            sys.argv[1], [Door(ListenOptions("127.0.0.1", 0, False, 1 << 20), [])])
    except TransportError as error:
        print("refused:", error.message)
        return
    print("serves:", transport.name)
    await transport.drain(0.0)
asyncio.run(main())
"""
UNKNOWN_VERSION = "support.GRPCIO_VERSIONS = ('1.0.0',)"
BROKEN_ANSWERS = "proof._Echo.begin = lambda self, raw, _, exchange: exchange.answer(b'wrong')"
NO_EPOLL = "import sys; sys.platform = 'darwin'"


def start(choice: str, change: str = "", environment: dict[str, str] | None = None) -> str:
    """What the program prints, its log included."""
    given = {**os.environ, **(support.environment() if environment is None else environment)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(change=change), choice],
        capture_output=True,
        text=True,
        timeout=60,
        env=given,
        check=True,
    )
    return done.stdout + done.stderr


def test_it_serves_where_it_can() -> None:
    assert "serves: fast" in start("auto")
    assert "serves: fast" in start("fast")
    assert "serves: aio" in start("aio")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (UNKNOWN_VERSION, f"grpcio {grpc.__version__} is not among 1.0.0"),
        (BROKEN_ANSWERS, "its self-test failed (ValueError: Echo answered (b'0', b'wrong'))"),
        (NO_EPOLL, "it needs Linux (epoll), this is darwin"),
    ],
)
def test_it_gives_way_and_says_why(change: str, reason: str) -> None:
    told = start("auto", change)
    assert "serves: aio" in told
    assert reason in told
    assert f"refused: --transport fast: {reason}; use 'auto' to fall back to grpc.aio" in start("fast", change)


def test_it_notices_when_grpc_does_not_wake_the_loop() -> None:
    told = start("auto", "support.POLLER_EXPERIMENT = ''", {"GRPC_EXPERIMENTS": ""})
    assert "serves: aio" in told
    assert "self-test failed" in told or "does not watch its port with a separate epoll set" in told


def test_the_users_own_experiments_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", "tcp_frame_size_tuning")
    assert support.environment() == {"GRPC_EXPERIMENTS": "tcp_frame_size_tuning,-event_engine_listener"}


def test_one_connection_with_many_calls_under_way(tiny_models: Path, tmp_path: Path) -> None:
    with ServerProcess(tiny_models, tmp_path, "--transport", "fast", "--gateways", "1") as server:
        pixels = items(3000, seed=9)
        call: Any = server.channel.unary_unary("/twinserve.v1.PredictService/Predict")
        futures = [call.future(request(item).SerializeToString(), timeout=60) for item in pixels]
        answers = [predict_pb2.PredictResponse.FromString(future.result()).classes[0] for future in futures]
        assert answers == classes_of(pixels).tolist()
        # All but the first few met in batches.
        assert server.metric("twinserve_batch_size_images_count") < 2000
