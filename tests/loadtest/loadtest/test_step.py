"""The step search finds the highest rate sustained, against a service whose capacity is known."""

from __future__ import annotations

import pytest

from twinserve_loadtest.generate.record import BlockRecord
from twinserve_loadtest.generate.recorder import OK, Tally
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.generate.watch_reading import WatchReading
from twinserve_loadtest.loadtest.step import StepSearch

SEARCH = StepSearch(first_rate=100, p99_limit_us=10_000, seconds=3, seed=1)


class Service:
    """Answers in 2 ms up to its capacity and in 100 ms above it."""

    def __init__(self, capacity: float, *, failing_above: float = 1e9, generator_limit: float = 1e9) -> None:
        self.capacity = capacity
        self.failing_above = failing_above
        self.generator_limit = generator_limit
        self.asked: list[BlockSpec] = []

    def __call__(self, spec: BlockSpec) -> BlockRecord:
        self.asked.append(spec)
        assert spec.rate is not None
        assert spec.seconds is not None
        rate, requests = spec.rate, round(spec.rate * spec.seconds)
        busy = rate > self.generator_limit
        tally = Tally(1)
        slow = rate > self.capacity or busy
        tally.histogram.record_value(100_000 if slow else 2_000, requests)
        tally.codes[OK] = requests
        if rate > self.failing_above:
            tally.codes["RESOURCE_EXHAUSTED"] = requests // 100
        reading = WatchReading(seconds=1, cpu_seconds=0.99 if busy else 0.2)
        return BlockRecord(
            spec,
            {"int8": tally},
            seconds=spec.seconds,
            scheduled=requests,
            schedule_seconds=spec.seconds,
            send_seconds=spec.seconds,
            reading=reading,
        )


@pytest.mark.parametrize("capacity", [130, 900, 5000, 20_000])
def test_it_finds_the_capacity_from_below(capacity: float) -> None:
    rate, steps = SEARCH.run("int8", Service(capacity))
    assert rate is not None
    assert 0.9 * capacity <= rate <= capacity
    assert len(steps) <= 16


def test_a_first_rate_that_is_too_high_is_halved() -> None:
    rate, _ = SEARCH.run("int8", Service(40))
    assert rate is not None
    assert 36 <= rate <= 40


def test_none_is_found_when_no_rate_is_sustained() -> None:
    rate, steps = SEARCH.run("int8", Service(1))
    assert rate is None
    assert "p99 is 100" in steps[0].reason


def test_one_failure_in_a_hundred_is_too_many() -> None:
    rate, steps = SEARCH.run("int8", Service(5000, failing_above=200))
    assert rate is not None
    assert rate <= 200
    assert any("requests failed" in step.reason for step in steps)


def test_a_generator_at_its_limit_ends_the_search_and_says_so() -> None:
    rate, steps = SEARCH.run("int8", Service(5000, generator_limit=300))
    assert rate == 200
    assert steps[-1].generator_bound
    assert not steps[-1].sustained
    assert "one core" in steps[-1].reason


def test_every_step_is_long_enough_to_carry_a_p99() -> None:
    service = Service(40)
    SEARCH.run("int8", service)
    assert all((spec.rate or 0) * (spec.seconds or 0) >= 662 for spec in service.asked)
    assert all((spec.seconds or 0) >= 3 for spec in service.asked)
