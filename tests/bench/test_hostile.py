"""Clients that mean harm, briefly: the server counts no fault of its own, keeps its processes, and answers others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import classes_of, items
from twinserve_bench.processes import gateways_mib, tree
from twinserve_bench.reliability.beside import faults_counted
from twinserve_bench.reliability.hostile.messages import METHODS, assault, good
from twinserve_bench.reliability.hostile.wire import ATTACKS

SEED = 14
#: Of each attack, on a machine that is not slow less; how often at the most.
SECONDS = 4.0
MOST = {"garbage": 300, "truncated": 300, "connects": 1000, "hpack": 100, "continuations": 300, "slow": 100}
MESSAGES = 3000
#: Of both gateways: pools fill.
MOST_MIB = 64.0
SECONDS_TO_REST = 60.0


@pytest.fixture
def unharmed(server: ServerProcess) -> Callable[[], None]:
    """Checks that a server is as it was when the test began, but for what it remembers."""
    pid = server.process.pid
    running, before, faults = set(tree(pid)), gateways_mib(pid), faults_counted(server.metrics_port)

    def check() -> None:
        assert set(tree(pid)) == running
        # What was needed is given back after a while.
        wait_until(lambda: gateways_mib(pid) - before < MOST_MIB, SECONDS_TO_REST, lambda: f"{gateways_mib(pid)} MiB")
        assert faults_counted(server.metrics_port) == faults
        pixels = items(1)
        answer = server.predict.Predict(request(pixels), timeout=60)
        assert list(answer.classes) == classes_of(pixels).tolist()

    return check


@pytest.mark.parametrize("kind", ATTACKS)
def test_broken_slow_and_greedy_connections_harm_nobody(
    server: ServerProcess, unharmed: Callable[[], None], kind: str
) -> None:
    most = MOST.get(kind, 300)
    assert ATTACKS[kind](server.grpc_port, random.Random(SEED), time.monotonic() + SECONDS, most) > 10
    unharmed()


def test_another_client_is_answered_beside_them(server: ServerProcess) -> None:
    """While those that say little, or say it slowly, are still there."""

    def attack(kind: str) -> None:
        ATTACKS[kind](server.grpc_port, random.Random(SEED), time.monotonic() + SECONDS, 200)

    attackers = [Thread(target=attack, args=(kind,)) for kind in ("half_open", "slow")]
    for attacker in attackers:
        attacker.start()
    pixels = items(1)
    while any(attacker.is_alive() for attacker in attackers):
        with server.connect() as channel:
            call: Any = channel.unary_unary("/twinserve.v1.PredictService/Predict")
            assert call(request(pixels).SerializeToString(), timeout=60)
    for attacker in attackers:
        attacker.join()


def test_spoilt_messages_to_every_method_are_answered_or_refused(
    server: ServerProcess, unharmed: Callable[[], None]
) -> None:
    found = assault(server.grpc_port, SEED, time.monotonic() + 60, MESSAGES)
    assert not found.blamed
    assert found.sent >= MESSAGES
    # Both get through: what is taken, and what is refused.
    assert found.codes["OK"]
    assert found.codes["INVALID_ARGUMENT"]
    unharmed()


def test_what_is_spoilt_is_good_and_complete() -> None:
    """Every method has something to spoil; a method that is added to a proto is tried from then on."""
    for method in METHODS:
        for message in good(method):
            try:
                GetMessageClass(method.input_type).FromString(message)
            except DecodeError:
                pytest.fail(method.full_name)
        if method.input_type.fields:
            assert any(good(method)), method.full_name
