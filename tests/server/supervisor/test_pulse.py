"""A process that is silent has stopped; one that says it is busy is slow."""

from __future__ import annotations

import pytest

from twinserve_server.supervisor.pulse import HUNG, SLOW_BATCH, STARTING_SECONDS, Pulse


def ticks(pulse: Pulse, seconds: float, *, ready: bool = True) -> str:
    """What is said after ``seconds``, in ticks of one."""
    reasons = [pulse.tick(1.0, ready=ready) for _ in range(int(seconds))]
    return reasons[-1]


def test_silence_is_a_hang() -> None:
    pulse = Pulse(hang_seconds=3, batch_seconds=0)
    assert ticks(pulse, 3) == ""
    assert ticks(pulse, 1) == HUNG


def test_who_says_something_is_at_work() -> None:
    pulse = Pulse(hang_seconds=3, batch_seconds=0)
    for _ in range(10):
        assert ticks(pulse, 3) == ""
        pulse.heard(0.0)


def test_a_process_that_loads_may_be_silent_for_longer() -> None:
    pulse = Pulse(hang_seconds=3, batch_seconds=0)
    assert ticks(pulse, STARTING_SECONDS, ready=False) == ""
    assert ticks(pulse, 1, ready=False) == HUNG


def test_a_slow_batch_is_told_once_and_again_when_its_time_has_doubled() -> None:
    pulse = Pulse(hang_seconds=3, batch_seconds=0)
    told = [seconds for seconds in range(100) if pulse.heard(float(seconds))]
    assert told == [10, 20, 40, 80]
    assert not pulse.heard(0.0)
    assert pulse.heard(10.0)


def test_a_slow_batch_is_ended_at_its_bound_and_not_before() -> None:
    pulse = Pulse(hang_seconds=3, batch_seconds=300)
    pulse.heard(300.0)
    assert ticks(pulse, 1) == ""
    pulse.heard(300.5)
    assert ticks(pulse, 1) == SLOW_BATCH


@pytest.mark.parametrize("ready", [True, False])
def test_watching_can_be_turned_off(ready: bool) -> None:
    assert ticks(Pulse(hang_seconds=0, batch_seconds=0), 10_000, ready=ready) == ""
