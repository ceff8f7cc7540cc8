"""Faults between client and server: nobody waits past a deadline, every answer is right, every label counts once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.server_process import ServerProcess
from support.tiny_model import UInt8Array, items
from twinserve_bench.reliability.chaos.callers import Questions
from twinserve_bench.reliability.network.run import LONG_SECONDS, SHORT_SECONDS, SLACK_SECONDS, SPELLS, Caller, endure
from twinserve_bench.reliability.network.wire import Way, Wire, cut_after, held, passing
from twinserve_bench.reliability.scenarios.network import labels_counted
from twinserve_client import AlreadyExistsError, AsyncClient, CallError, Client, DeadlineExceededError, UnavailableError

READY_SECONDS = 60.0
#: In which the first answer comes, also on a slow machine.
STREAM_SECONDS = 6.0


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    with Wire(server.grpc_port) as wire:
        yield wire


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    """Connected, with the SDK's own retries."""
    with Client(f"127.0.0.1:{wire.port}", timeout=LONG_SECONDS, isolated=True) as client:
        client.wait_until_ready(READY_SECONDS)
        yield client


@pytest.mark.parametrize("spell", SPELLS)
def test_nobody_hangs_and_no_label_counts_twice(
    server: ServerProcess, tiny_models: Path, wire: Wire, client: Client, spell: str
) -> None:
    before = labels_counted(server.metrics_port)
    caller = Caller(client, Questions.of(tiny_models, client), random.Random(spell))
    endure(wire, [caller], spell, 0.0)
    client.wait_until_ready(READY_SECONDS)
    caller.settle()
    caller.ask()
    account = caller.account
    assert not account.odd
    assert not account.wrong
    assert not account.open
    assert not account.late, account.late_seconds
    # The SDK hides what passes in time; what does not is one failure, and the next call is answered.
    failed = account.failed.total()
    assert failed <= (0 if SPELLS[spell][1] else 1)
    assert account.answered == 2 - failed
    assert labels_counted(server.metrics_port) - before == account.labels == 400 * account.answered


def test_a_label_whose_confirmation_is_lost_counts_once_however_often_it_is_sent(
    server: ServerProcess, wire: Wire, client: Client
) -> None:
    before = labels_counted(server.metrics_port)
    answer = client.predict(items(8))
    wire.ways = (passing, held)
    with pytest.raises(DeadlineExceededError):
        client.send_feedback(answer.request_id, answer.classes, timeout=SHORT_SECONDS)
    wire.ways = (passing, passing)
    client.wait_until_ready(READY_SECONDS)
    with suppress(AlreadyExistsError):
        client.send_feedback(answer.request_id, answer.classes)
    assert labels_counted(server.metrics_port) - before == 8


@pytest.mark.parametrize(
    ("to_client", "expected"), [(held, DeadlineExceededError), (cut_after(0), UnavailableError)], ids=["hole", "cut"]
)
def test_a_stream_ends_in_time(wire: Wire, client: Client, to_client: Way, expected: type[CallError]) -> None:
    answered = threading.Event()

    def images() -> Iterator[UInt8Array]:
        yield items(4)
        answered.wait(READY_SECONDS)
        wire.ways = (passing, to_client)
        yield items(4)

    began = time.monotonic()
    answers = client.predict_stream(images(), timeout=STREAM_SECONDS)
    next(answers)
    answered.set()
    with pytest.raises(expected):
        next(answers)
    assert time.monotonic() - began < STREAM_SECONDS + SLACK_SECONDS


def test_the_asynchronous_client_does_not_hang_either(wire: Wire) -> None:
    async def ask() -> None:
        async with AsyncClient(f"127.0.0.1:{wire.port}", timeout=LONG_SECONDS) as client:
            await client.wait_until_ready(READY_SECONDS)
            wire.ways = (held, held)
            began = time.monotonic()
            with pytest.raises(DeadlineExceededError):
                await client.predict(items(4), timeout=SHORT_SECONDS)
            assert time.monotonic() - began < SHORT_SECONDS + SLACK_SECONDS
            wire.ways = (passing, passing)
            await client.wait_until_ready(READY_SECONDS)
            assert len((await client.predict(items(4))).classes) == 4

    asyncio.run(ask())


def test_a_server_that_takes_connections_and_says_nothing(wire: Wire) -> None:
    wire.ways = (held, held)
    began = time.monotonic()
    with (
        Client(f"127.0.0.1:{wire.port}", timeout=SHORT_SECONDS, isolated=True) as client,
        pytest.raises((DeadlineExceededError, UnavailableError)),
    ):
        client.predict(items(4))
    assert time.monotonic() - began < SHORT_SECONDS + SLACK_SECONDS
