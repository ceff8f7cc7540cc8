"""Whose move it is in a call, and which calls are ended because their clients do not make theirs."""

from __future__ import annotations

import pytest

from twinserve_server.errors import IdleCallError
from twinserve_server.transport import idle
from twinserve_server.transport.idle import IdleCalls, Turns

LIMIT = 10.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 1.0

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1e9)


class StreamOfMessages(Turns):
    """A call that hears of its end."""

    def __init__(self, calls: IdleCalls) -> None:
        super().__init__(calls)
        self.said = ""

    def caller(self) -> str:
        return "ipv4:127.0.0.1:1"

    def expire(self, error: IdleCallError) -> None:
        self.said = error.message


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(idle, "time", clock)
    return clock


@pytest.fixture
def calls() -> IdleCalls:
    return IdleCalls(LIMIT)


def test_a_client_that_sends_nothing_is_waited_for_so_long(clock: Clock, calls: IdleCalls) -> None:
    silent = StreamOfMessages(calls)
    silent.reads()
    clock.seconds += LIMIT - 0.1
    calls.sweep()
    assert not silent.said
    clock.seconds += 1
    calls.sweep()
    assert "neither sent a message nor took an answer for 10 s" in silent.said
    assert "--max-idle-call-seconds" in silent.said


def test_only_those_who_wait_too_long_are_ended(clock: Clock, calls: IdleCalls) -> None:
    first, second = StreamOfMessages(calls), StreamOfMessages(calls)
    first.reads()
    second.reads()
    clock.seconds += LIMIT - 1
    # It moves, and so comes behind the other one.
    first.has_read(1)
    first.sends()
    first.has_sent()
    first.reads()
    clock.seconds += 2
    calls.sweep()
    assert (bool(first.said), bool(second.said)) == (False, True)


def test_while_a_message_is_in_work_the_client_may_be_silent(clock: Clock, calls: IdleCalls) -> None:
    stream = StreamOfMessages(calls)
    stream.reads()
    stream.has_read(1)
    stream.reads()
    clock.seconds += 10 * LIMIT
    calls.sweep()
    assert not stream.said
    stream.sends()
    stream.has_sent()
    clock.seconds += LIMIT + 1
    calls.sweep()
    assert stream.said


def test_an_answer_has_to_be_taken(clock: Clock, calls: IdleCalls) -> None:
    stream = StreamOfMessages(calls)
    stream.reads()
    stream.has_read(1)
    stream.sends()
    clock.seconds += LIMIT + 1
    calls.sweep()
    assert stream.said


def test_a_call_that_is_over_is_not_ended_again(clock: Clock, calls: IdleCalls) -> None:
    stream = StreamOfMessages(calls)
    stream.reads()
    stream.is_over()
    stream.has_read(0)
    stream.sends()
    clock.seconds += LIMIT + 1
    calls.sweep()
    assert not stream.said


def test_without_a_limit_nobody_is_ended(clock: Clock) -> None:
    calls = IdleCalls(0)
    stream = StreamOfMessages(calls)
    stream.reads()
    clock.seconds += 1e6
    calls.sweep()
    assert not stream.said
