"""What a load test lacks is said in words, each under the section in which a reader looks for it."""

from __future__ import annotations

from twinserve_loadtest.generate.record import BlockRecord
from twinserve_loadtest.generate.recorder import OK, Tally
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.loadtest.missing import missing_of
from twinserve_loadtest.record.run import Remark


def record(spec: BlockSpec, **codes: int) -> BlockRecord:
    """A block whose requests ended so."""
    tally = Tally(10)
    tally.codes.update(codes)
    return BlockRecord(spec, {"int8": tally})


def test_nothing_is_missing_from_a_test_that_ran_to_its_end() -> None:
    assert missing_of({"closed": [record(BlockSpec.closed("int8", 2, seconds=1), OK=50)]}, []) == []


def test_lost_requests_are_counted_by_status_over_all_blocks() -> None:
    blocks = [record(BlockSpec.closed("int8", 2, seconds=1), OK=50, UNAVAILABLE=3) for _ in range(2)]
    assert missing_of({"closed": blocks}, []) == [
        Remark("lost", "Closed loop, int8: 6 requests were lost (UNAVAILABLE).", "throughput")
    ]


def test_a_server_that_pushes_back_loses_nothing() -> None:
    refused = record(BlockSpec.closed("int8", 2, seconds=1), OK=50, RESOURCE_EXHAUSTED=9)
    assert missing_of({"closed": [refused]}, []) == []


def test_images_without_an_answer_are_missing() -> None:
    block = record(BlockSpec.accuracy("int8", 10), **{OK: 1})
    block.tallies["int8"].predictions[:7] = 1
    assert missing_of({"accuracy": [block]}, []) == [
        Remark("coverage", "Test set, int8: 7 of 10 test images were answered (70.0%).", "accuracy")
    ]


def test_blocks_that_were_not_run_are_counted() -> None:
    waiting = [BlockSpec.closed("int8", 2, seconds=1)] * 2 + [BlockSpec.open("fp32", 100, seconds=1)]
    assert missing_of({}, waiting) == [
        Remark("not_run", "Closed loop, int8: 2 blocks were not run.", "throughput"),
        Remark("not_run", "Open loop, fp32: 1 block was not run.", "latency"),
    ]
