"""Whose turn it is: callers in turn, from the oldest or from the newest."""

from __future__ import annotations

from twinserve_server.engine.job import Job
from twinserve_server.engine.lanes import Lanes


def job(peer: str, count: int = 1) -> Job:
    return Job(bytes(count), "UINT8", count, lambda _: None, peer=peer)


def order(lanes: Lanes, *, newest: bool = False) -> list[Job]:
    found = []
    while lanes:
        found.append(job := lanes.next(newest=newest))
        lanes.drop(job)
        lanes.rotate(job, newest=newest)
    return found


def lanes_of(*jobs: Job) -> Lanes:
    lanes = Lanes()
    for item in jobs:
        lanes.push(item)
    return lanes


def test_callers_take_turns_whoever_has_more() -> None:
    a, b = [job("a") for _ in range(3)], [job("b")]
    assert order(lanes_of(*a, *b)) == [a[0], b[0], a[1], a[2]]


def test_one_caller_is_served_in_the_order_in_which_it_asked() -> None:
    jobs = [job("a") for _ in range(4)]
    assert order(lanes_of(*jobs)) == jobs


def test_a_caller_that_comes_while_another_is_served_goes_behind_it_once() -> None:
    a = [job("a") for _ in range(3)]
    lanes = lanes_of(*a)
    lanes.drop(a[0])
    lanes.rotate(a[0])
    lanes.push(late := job("b"))
    assert order(lanes) == [a[1], late, a[2]]


def test_newest_first_is_so_among_callers_and_within_each_and_still_in_turn() -> None:
    a, b = [job("a"), job("a")], [job("b"), job("b")]
    assert order(lanes_of(*a, *b), newest=True) == [b[1], a[1], b[0], a[0]]


def test_what_was_begun_goes_on_before_the_callers_newer_jobs() -> None:
    begun, newer = job("a", 4), job("a")
    lanes = lanes_of(begun, newer)
    begun.taken = 2
    assert lanes.next(newest=True) is begun


def test_the_unwanted_go_wherever_they_stand() -> None:
    a, b = [job("a") for _ in range(3)], job("b")
    lanes = lanes_of(*a, b)
    assert lanes.remove(lambda one: one in (a[1], b)) == [a[1], b]
    assert len(lanes) == 2
    assert order(lanes) == [a[0], a[2]]
