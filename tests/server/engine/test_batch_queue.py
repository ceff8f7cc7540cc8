"""The queue of one variant: greedy batches, Triton's options, and who never runs."""

from __future__ import annotations

import pytest

from twinserve_server.engine.amount import Amount
from twinserve_server.engine.batch_queue import BatchPolicy, BatchQueue
from twinserve_server.engine.job import BatchTiming, Job
from twinserve_server.errors import DeadlineError, ModelUnavailableError, QueueFullError

MS = 1_000_000
AT_MOST_4 = Amount(requests=100, images=4, bytes=100)


def job(count: int = 1, datatype: str = "UINT8", deadline_ns: int = 0, peer: str = "") -> Job:
    return Job(bytes(count), datatype, count, done.extend, deadline_ns, peer=peer)  # type: ignore[arg-type]


done: list[Job] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


def queue_of(policy: BatchPolicy, *jobs: Job) -> BatchQueue:
    queue = BatchQueue(policy)
    for item in jobs:
        queue.push(item, 0)
    return queue


def sizes(queue: BatchQueue, now_ns: int = 0) -> list[int]:
    found = []
    while (batch := queue.take(now_ns)) is not None:
        found.append(batch.images)
    return found


def test_takes_everything_that_waits_up_to_the_limit() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=4), *(job() for _ in range(10)))
    assert sizes(queue) == [4, 4, 2]
    assert queue.images == 0


def test_a_single_request_never_waits_for_company() -> None:
    assert sizes(queue_of(BatchPolicy(), job())) == [1]


def test_splits_only_requests_larger_than_the_limit() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=4), job(3), job(3), job(10))
    assert sizes(queue) == [3, 3, 4, 4, 2]


def test_does_not_mix_datatypes() -> None:
    queue = queue_of(BatchPolicy(), job(), job(datatype="FP32"), job(datatype="FP32"), job())
    assert sizes(queue) == [1, 2, 1]


def test_batching_off_is_one_request_a_pass() -> None:
    queue = queue_of(BatchPolicy(enabled=False), job(2), job(3))
    assert sizes(queue) == [2, 3]


def test_a_delay_holds_a_small_batch_back_until_it_is_due() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=8, max_queue_delay_ns=5 * MS), job(), job())
    assert queue.take(4 * MS) is None
    assert queue.next_due_ns() == 5 * MS
    assert sizes(queue, 5 * MS) == [2]


def test_a_delay_does_not_hold_a_full_batch_back() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=2, max_queue_delay_ns=5 * MS), job(), job())
    assert sizes(queue) == [2]


def test_a_preferred_size_goes_before_the_delay_is_over() -> None:
    policy = BatchPolicy(max_batch_size=8, max_queue_delay_ns=5 * MS, preferred_batch_sizes=(2, 4))
    queue = queue_of(policy, *(job() for _ in range(5)))
    batch = queue.take(0)
    assert batch is not None
    assert batch.images == 4
    assert queue.take(0) is None


def test_refuses_what_passes_its_bound_and_names_the_limit() -> None:
    queue = queue_of(BatchPolicy(bounds=AT_MOST_4), job(3))
    with pytest.raises(QueueFullError, match=r"3 images, 2 more .* limit of 4 images"):
        queue.push(job(2), 0)
    assert queue.images == 3


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (Amount(2, 100, 100), "2 requests, 1 more would exceed its limit of 2 requests"),
        (Amount(100, 4, 100), "4 images, 2 more would exceed its limit of 4 images"),
        (Amount(100, 100, 5), "4 bytes, 2 more would exceed its limit of 5 bytes"),
    ],
)
def test_names_the_bound_that_a_request_would_pass(bounds: Amount, told: str) -> None:
    queue = queue_of(BatchPolicy(bounds=bounds), job(2), job(2))
    with pytest.raises(QueueFullError, match=told):
        queue.push(job(2), 0)


def test_bytes_count_until_the_last_part_of_a_request_has_gone() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=4), job(6), job(1))
    queue.take(0)
    assert (queue.images, queue.bytes) == (3, 7)
    queue.take(0)
    assert (queue.images, queue.bytes) == (0, 0)


def test_what_ends_in_the_queue_leaves_nothing_behind() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=2), job(3), job(2, deadline_ns=5), job(4, deadline_ns=5))
    queue.expire(10)
    assert (len(queue), queue.images, queue.bytes) == (1, 3, 3)
    queue.fail_all(ModelUnavailableError("gone"))
    assert (len(queue), queue.images, queue.bytes) == (0, 0, 0)


def test_a_request_larger_than_the_bound_may_enter_an_empty_queue() -> None:
    assert sizes(queue_of(BatchPolicy(bounds=AT_MOST_4, max_batch_size=64), job(10))) == [10]


def test_a_request_past_its_deadline_is_not_run_and_says_so() -> None:
    late, live = job(deadline_ns=10 * MS), job()
    assert sizes(queue_of(BatchPolicy(), late, live), 20 * MS) == [1]
    assert done == [late]
    assert isinstance(late.error, DeadlineError)


def test_a_cancelled_request_is_not_run_and_nobody_is_told() -> None:
    gone, live = job(), job()
    queue = queue_of(BatchPolicy(), gone, live)
    gone.cancel()
    batch = queue.take(0)
    assert batch is not None
    assert [part[0] for part in batch.parts] == [live]
    assert done == []


def test_expire_finds_dead_requests_behind_live_ones() -> None:
    live, late = job(), job(deadline_ns=MS)
    queue = queue_of(BatchPolicy(), live, late)
    queue.expire(2 * MS)
    assert done == [late]
    assert queue.images == 1


def test_fail_all_ends_everything_once() -> None:
    jobs = [job(), job(2)]
    queue = queue_of(BatchPolicy(), *jobs)
    queue.fail_all(ModelUnavailableError("gone"))
    assert done == jobs
    assert len(queue) == queue.images == 0


def test_what_is_left_of_a_large_request_is_not_run_once_its_deadline_has_passed() -> None:
    late = job(10, deadline_ns=10 * MS)
    queue = queue_of(BatchPolicy(max_batch_size=4), late)
    first = queue.take(0)
    assert first is not None
    assert first.images == 4
    assert sizes(queue, 20 * MS) == []
    assert queue.images == 0
    assert done == [late]
    assert isinstance(late.error, DeadlineError)
    assert "6 of its 10 images were not run" in late.error.message
    # The answer of what was under way comes too late to matter.
    first.answer(memoryview(bytes(16)), memoryview(bytes(32)), BatchTiming(0, 0, 0, 0, 4), 0)
    assert done == [late]


def test_what_is_left_of_a_large_request_is_not_run_once_its_caller_is_gone() -> None:
    gone = job(10)
    queue = queue_of(BatchPolicy(max_batch_size=4), gone, job())
    assert queue.take(0) is not None
    gone.cancel()
    assert sizes(queue) == [1]
    assert gone not in done


def test_a_caller_with_many_requests_leaves_room_for_one_with_few() -> None:
    greedy, modest = [job(peer="greedy") for _ in range(8)], job(peer="modest")
    batch = queue_of(BatchPolicy(max_batch_size=2), *greedy, modest).take(0)
    assert batch is not None
    assert [part[0] for part in batch.parts] == [greedy[0], modest]


def test_while_deadlines_come_near_in_the_queue_the_newest_goes_first() -> None:
    queue = queue_of(BatchPolicy(max_batch_size=1), job(deadline_ns=100 * MS), job(deadline_ns=100 * MS))
    queue.push(fresh := job(deadline_ns=160 * MS), 60 * MS)
    batch = queue.take(60 * MS)
    assert batch is not None
    assert [part[0] for part in batch.parts] == [fresh]


def test_while_they_do_not_it_is_first_come_first_served() -> None:
    first = job(deadline_ns=100 * MS)
    batch = queue_of(BatchPolicy(max_batch_size=1), first, job(deadline_ns=100 * MS)).take(40 * MS)
    assert batch is not None
    assert [part[0] for part in batch.parts] == [first]
