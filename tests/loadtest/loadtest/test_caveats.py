"""What is missing and what limits a figure is said in words."""

from __future__ import annotations

import pytest

from support.load_results import make_variant_result
from twinserve_loadtest.generate.record import BlockRecord
from twinserve_loadtest.generate.recorder import OK, Tally
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.loadtest.caveats import caveats_of, missing_of
from twinserve_loadtest.record.load_results import DatasetInfo, Scenario

FULL = DatasetInfo("toy", "a test", 10, full=True)


def record(spec: BlockSpec, **codes: int) -> BlockRecord:
    """A block whose requests ended so."""
    tally = Tally(10)
    tally.codes.update(codes)
    return BlockRecord(spec, {"int8": tally})


def test_nothing_is_missing_from_a_test_that_ran_to_its_end() -> None:
    assert missing_of({"closed": [record(BlockSpec.closed("int8", 2, seconds=1), OK=50)]}, [], "") == []


def test_lost_requests_are_counted_by_status_over_all_blocks() -> None:
    blocks = [record(BlockSpec.closed("int8", 2, seconds=1), OK=50, UNAVAILABLE=3) for _ in range(2)]
    assert missing_of({"closed": blocks}, [], "") == ["closed, int8: 6 requests lost (UNAVAILABLE)"]


def test_a_server_that_pushes_back_loses_nothing() -> None:
    refused = record(BlockSpec.closed("int8", 2, seconds=1), OK=50, RESOURCE_EXHAUSTED=9)
    assert missing_of({"closed": [refused]}, [], "") == []


def test_images_without_an_answer_are_missing() -> None:
    block = record(BlockSpec.accuracy("int8", 10), **{OK: 1})
    block.tallies["int8"].predictions[:7] = 1
    assert missing_of({"accuracy": [block]}, [], "") == [
        "accuracy, int8: 7 of 10 test images were answered (coverage 70.0%)"
    ]


def test_blocks_that_were_not_run_are_named_with_the_reason() -> None:
    waiting = [BlockSpec.closed("int8", 2, seconds=1)] * 2
    assert missing_of({}, waiting, "the server is gone") == [
        "the test ended early: the server is gone",
        "closed, int8: 2 block(s) not run",
    ]


def test_a_quiet_machine_and_a_full_set_have_no_caveat() -> None:
    scenario = Scenario("single-stream", {}, {"int8": make_variant_result("int8")})
    assert caveats_of(FULL, [scenario], same_machine=False, foreign_share=0.05) == []


@pytest.mark.parametrize(
    ("dataset", "same_machine", "foreign_share", "text"),
    [
        (DatasetInfo("toy", "a test", 10, full=False), False, 0.0, "small test set: 10 images of toy"),
        (FULL, True, 0.0, "shared one machine"),
        (FULL, False, 0.4, "other work kept 40% of the machine's cores busy"),
    ],
)
def test_what_holds_for_the_whole_test_is_said_once(
    dataset: DatasetInfo, same_machine: bool, foreign_share: float, text: str
) -> None:
    (caveat,) = caveats_of(dataset, [], same_machine=same_machine, foreign_share=foreign_share)
    assert text in caveat


def test_a_figure_that_is_not_valid_is_named_with_its_reason() -> None:
    result = make_variant_result("int8", invalid={"throughput": ["the generator was busy"]})
    assert caveats_of(FULL, [Scenario("offline", {}, {"int8": result})], same_machine=False) == [
        "offline, int8: throughput not valid: the generator was busy"
    ]


def test_percentiles_of_a_closed_loop_come_with_a_warning() -> None:
    (caveat,) = caveats_of(FULL, [Scenario("closed", {}, {})], same_machine=False)
    assert "saturated" in caveat
