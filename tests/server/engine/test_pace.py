"""What a variant's pace says: whether a deadline can be met, and when a refused caller should come again."""

from __future__ import annotations

import pytest

from twinserve_server.engine.pace import LONGEST_RETRY_SECONDS, RETRY_SECONDS, Pace
from twinserve_server.errors import DeadlineUnreachableError

MS = 1_000_000


def pace_of(batch_ms: int) -> Pace:
    pace = Pace(max_batch_size=10)
    for _ in range(50):
        pace.answered(10, batch_ms * MS)
    return pace


def test_a_request_whose_time_ends_in_the_queue_is_refused_and_the_message_says_why() -> None:
    # Four batches of 20 ms are before it, and 100 ms are left.
    with pytest.raises(DeadlineUnreachableError, match=r"100 ms are left .* 40 images are already waiting, .* 80 ms"):
        pace_of(20).check(waiting=40, links=1, deadline_ns=100 * MS, now_ns=0)


def test_a_request_with_time_enough_is_taken() -> None:
    pace_of(20).check(waiting=40, links=1, deadline_ns=1000 * MS, now_ns=0)


def test_a_request_without_a_deadline_is_taken() -> None:
    pace_of(20).check(waiting=4000, links=1, deadline_ns=0, now_ns=0)


def test_several_model_processes_shorten_the_wait() -> None:
    pace_of(20).check(waiting=40, links=4, deadline_ns=100 * MS, now_ns=0)


def test_less_than_a_batch_keeps_nobody_out_so_that_a_wrong_expectation_is_put_right() -> None:
    pace_of(10_000).check(waiting=9, links=1, deadline_ns=MS, now_ns=0)


def test_the_more_are_refused_for_each_answer_the_later_they_should_come_again() -> None:
    pace = pace_of(20)
    first = pace.refused()
    for _ in range(10 * 500):
        last = pace.refused()
    assert RETRY_SECONDS <= first < last < LONGEST_RETRY_SECONDS
    for _ in range(10**5):
        last = pace.refused()
    assert last == LONGEST_RETRY_SECONDS


def test_what_was_refused_long_ago_is_forgotten() -> None:
    pace = pace_of(20)
    for _ in range(1000):
        pace.refused()
    for _ in range(200):
        pace.tick()
    assert pace.refused() == pytest.approx(RETRY_SECONDS * 2, rel=0.01)
