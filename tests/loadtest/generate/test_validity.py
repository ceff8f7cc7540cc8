"""A figure that the generator set, not the server, is marked with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from twinserve_loadtest.generate.record import BlockRecord, merged
from twinserve_loadtest.generate.recorder import OK, Tally
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.generate.validity import judge
from twinserve_loadtest.generate.watch_reading import WatchReading
from twinserve_loadtest.record.wire import to_plain


def block(
    spec: BlockSpec, *, latency_us: int = 2000, cpu: float = 0.3, busy: float = 0.8, late_us: int = 100, cores: int = 2
) -> BlockRecord:
    """Ten seconds of ``spec`` with a thousand equal answers."""
    reading = WatchReading(seconds=10, cpu_seconds=cpu * 10, machine_busy_seconds=busy * 10 * cores, cores=cores)
    for histogram in (reading.timer_lateness, reading.send_lateness):
        histogram.record_value(late_us, 1000)
    tally = Tally(10)
    tally.histogram.record_value(latency_us, 1000)
    tally.codes[OK] = 1000
    record = BlockRecord(spec, {"int8": tally}, seconds=10, reading=reading)
    if spec.rate is not None:
        record.scheduled, record.schedule_seconds, record.send_seconds = 1000, 10, 10
    return record


CLOSED = BlockSpec.closed("int8", 8, seconds=10)
OPEN = BlockSpec.open("int8", 100, seconds=10)


@pytest.mark.parametrize("spec", [CLOSED, OPEN, BlockSpec.offline("int8", seconds=10)])
def test_an_idle_punctual_generator_leaves_every_figure_standing(spec: BlockSpec) -> None:
    assert judge(block(spec)).invalid == {}


def test_a_generator_that_used_its_whole_core_invalidates_both_figures() -> None:
    invalid = judge(block(CLOSED, cpu=0.95)).invalid
    assert set(invalid) == {"latency", "throughput"}
    assert "95% of its one core" in invalid["throughput"][0]


def test_a_full_machine_that_the_generator_shares_gives_only_a_lower_bound_of_throughput() -> None:
    shared = block(CLOSED, cpu=0.7, busy=0.99)
    assert "lower bound" in judge(shared).invalid["throughput"][0]
    assert judge(shared, same_machine=False).invalid == {}
    assert judge(block(CLOSED, cpu=0.2, busy=0.99)).invalid == {}


@pytest.mark.parametrize("spec", [CLOSED, OPEN])
def test_a_late_generator_invalidates_latency_when_its_lateness_is_a_material_part(spec: BlockSpec) -> None:
    assert "latency" not in judge(block(spec, latency_us=2000, late_us=390)).invalid
    assert "of the latency there" in judge(block(spec, latency_us=2000, late_us=450)).invalid["latency"][0]


@pytest.mark.parametrize(("share", "valid"), [(0.3, True), (0.4, False)])
def test_a_tail_may_be_late_by_up_to_a_third(share: float, valid: bool) -> None:
    record = block(BlockSpec.open("int8", 100, seconds=10), latency_us=2000, late_us=10)
    for histogram, value in ((record.tally().histogram, 10_000), (record.reading.send_lateness, round(10_000 * share))):
        histogram.record_value(value, 20)
    assert ("latency" not in judge(record).invalid) is valid


def test_arrivals_that_were_never_sent_invalidate_latency() -> None:
    record = block(OPEN)
    record.dropped = 3
    assert judge(record).invalid["latency"] == ["3 of 1000 arrivals were never sent"]


def test_less_than_99_percent_of_the_offered_rate_invalidates_both_figures() -> None:
    kept, missed = block(OPEN), block(OPEN)
    kept.send_seconds = 10.09
    missed.send_seconds = 10.2
    assert judge(kept).invalid == {}
    assert judge(missed).invalid == {
        "latency": ["only 98 of 100 requests/s were sent"],
        "throughput": ["only 98 of 100 requests/s were sent"],
    }


def test_accuracy_does_not_depend_on_the_speed_of_the_generator() -> None:
    assert judge(block(BlockSpec.accuracy("int8", 10), cpu=1.0, busy=1.0, late_us=9000)).invalid == {}


def test_lateness_is_stated_only_with_enough_samples() -> None:
    record = block(OPEN)
    record.reading = WatchReading(seconds=1)
    record.reading.send_lateness.record_value(50, 11)
    generator = judge(record)
    assert (generator.lateness_p50_us, generator.lateness_p99_us) == (50, None)


def test_workers_add_up_in_parallel_and_the_busiest_decides() -> None:
    both = merged([block(CLOSED, cpu=0.2), block(CLOSED, cpu=0.95)], parallel=True)
    assert both.seconds == 10
    assert both.tallies["int8"].requests == 2000
    assert both.blocks == 1
    assert judge(both).cpu_share == pytest.approx(0.95)


def test_blocks_add_up_one_after_another_and_their_use_is_averaged() -> None:
    both = merged([block(OPEN, cpu=0.2), block(OPEN, cpu=0.4)], parallel=False)
    assert both.seconds == 20
    assert both.scheduled == 2000
    assert both.offered_rate == both.achieved_rate == 100
    assert both.blocks == 2
    assert judge(both).cpu_share == pytest.approx(0.3)


def test_merging_leaves_its_parts_as_they_were() -> None:
    first, second = block(CLOSED), block(CLOSED)
    before = to_plain(first)
    merged([first, second], parallel=False)
    assert to_plain(first) == before
    assert np.array_equal(first.tallies["int8"].predictions, second.tallies["int8"].predictions)


def test_there_is_nothing_to_make_of_no_block() -> None:
    with pytest.raises(ValueError, match="nothing to merge"):
        merged([], parallel=True)
