"""Faults against a server under load: callers notice none of them but that a server which is down answers nobody."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from twinserve_bench.reliability.chaos.ledger import CUT_OFF, DRAINING, NOBODY, STOPPED, UNSEEN, Book, reason_of
from twinserve_bench.reliability.chaos.run import run
from twinserve_bench.reliability.chaos.schedule import HIDDEN, Fault, schedule

#: Those that take no time of their own; a hang is found after seconds only.
QUICK = [fault for fault in Fault if fault not in {Fault.STOP_GATEWAY, Fault.STOP_MODEL, Fault.TERMINATE}]


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule(7, 40) == schedule(7, 40)
    assert schedule(7, 40) != schedule(8, 40)


def test_every_fault_comes_up_before_one_comes_up_again() -> None:
    assert {step.fault for step in schedule(3, len(Fault))} == set(Fault)
    assert [step.fault for step in schedule(3, 2 * len(HIDDEN), HIDDEN)].count(Fault.KILL_MODEL) == 2


def test_a_refusal_is_one_only_while_the_server_is_down() -> None:
    book = Book()
    before = book.begin()
    with book.outage():
        during = book.begin()
    after = book.begin()
    for begun in (before, during, after):
        book.failed(begun, grpc.StatusCode.UNAVAILABLE, "nobody is there")
    assert book.ledger.refused == {f"{CUT_OFF} (nobody is there)": 2}
    assert book.ledger.lost == {"UNAVAILABLE: nobody is there": 1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("failed to connect to all addresses; last error: Connection refused", NOBODY),
        ("the server is shutting down; try another one", DRAINING),
        ("the server ended the call without an answer", STOPPED),
        ("Stream removed (GOAWAY received; Error code: 0; Debug Text: Server shutdown)", UNSEEN),
        ("Endpoint read failed (Socket closed; GOAWAY received; Error code: 0)", f"{CUT_OFF} (Endpoint read failed "),
    ],
)
def test_a_refusal_tells_whether_the_server_may_have_had_the_call(said: str, reason: str) -> None:
    assert reason_of(said).startswith(reason)


def test_a_call_that_hangs_through_an_outage_is_lost() -> None:
    book = Book()
    begun = book.begin()
    with book.outage():
        book.failed(begun, grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        book.begin()
    assert book.ledger.lost.total() == 1
    assert book.ledger.open == 1


@pytest.mark.tls
def test_a_schedule_of_faults_loses_nothing_and_the_metrics_say_what_the_callers_say(
    tiny_models: Path, tmp_path: Path
) -> None:
    steps = schedule(1, len(QUICK), QUICK)
    outcome = run(tiny_models, tmp_path, steps, transport="fast", callers=4, seed=1)
    assert outcome.good, "\n".join(outcome.rows())
    assert outcome.ledger.answered > sum(step.after for step in steps)
    # One account for each start of the server.
    assert len(outcome.accounts) == 1 + sum(step.fault.takes_the_server_down for step in steps)
