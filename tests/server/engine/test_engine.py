"""Whatever goes wrong between the wire and a model process, every call hears of its end, once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine import frames
from twinserve_server.engine.amount import Amount
from twinserve_server.engine.batch_queue import BatchPolicy
from twinserve_server.engine.call import Call
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.engine.job import BatchTiming
from twinserve_server.engine.router import Router, TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.engine.socket_link import SocketLink
from twinserve_server.errors import DrainingError, InferenceError, QueueFullError, TwinserveError

VERSION = ModelVersion("m", "1", (4,), ("UINT8",), "probabilities", ("a", "b"), {})
TIMING = BatchTiming(0, 0, 0, 0, 1)


class World:
    """An engine with one variant, whose model process is the test."""

    def __init__(self) -> None:
        self.hook_fault: Exception | None = None
        #: The states of the calls that the hook was told of, as they were told together.
        self.told: list[list[str]] = []
        self.transfer_fault: Exception | None = None
        self.channel = ModelChannel(VERSION, "fp32", BatchPolicy(), self._on_transfer)
        router = Router({"fp32"}, TrafficPolicy({"fp32": 1.0}))
        self.served = ServedModel(VERSION, {"fp32": self.channel}, router)
        self.engine = Engine({"m": self.served}, "m", [self._hook], FeedbackStore())
        ours, self.process = socket.socketpair()
        self.link = SocketLink(self.channel, 0, ours)
        self.reader = frames.read_requests()
        self.ended: list[Call] = []
        self.say(frames.hello())

    def _hook(self, event: Sequence[Call] | Judgement) -> None:
        if isinstance(event, Judgement):
            return
        self.told.append([call.state for call in event])
        if event[0].state == "answered" and self.hook_fault is not None:
            raise self.hook_fault

    def _on_transfer(self, transfer_ns: int) -> None:
        if self.transfer_fault is not None:
            raise self.transfer_fault

    def say(self, frame: bytes) -> None:
        """Speak as the model process."""
        self.process.sendall(frame)
        self.link.on_readable()

    def ask(self, *counts: int) -> list[Call]:
        """One call of so many images each; they travel together."""
        calls = []
        pumps: list[Callable[[], None]] = []
        self.channel.later = pumps.append
        for count in counts:
            call = self.engine.open_call(self.served, "", "", "")
            self.engine.run(call, bytes(4 * count), "UINT8", count, self.ended.append)
            calls.append(call)
        for pump in pumps:
            pump()
        return calls

    def ask_together(self, count: int) -> list[Call]:
        """Calls of one image each that arrived together."""
        served, engine = self.served, self.engine
        calls = [
            engine.prepare(served, "", bytes(4), "UINT8", 1, self.ended.append, 0, "", started_ns)
            for started_ns in range(1, count + 1)
        ]
        engine.start(calls)
        return calls

    def received(self) -> frames.Request:
        """What the model process was sent."""
        (request,) = self.reader.feed(self.process.recv(1 << 16))
        return request

    def close(self) -> None:
        self.link.close()
        self.process.close()


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.close()


def error_of(call: Call) -> TwinserveError | None:
    assert call.job is not None
    return call.job.error


@pytest.mark.parametrize("rows", [0, 1, 2, 4])
def test_an_answer_of_the_wrong_size_fails_its_calls(world: World, rows: int) -> None:
    calls = world.ask(1, 2)
    request = world.received()
    world.say(frames.answer(request.batch_id, request.images, TIMING, bytes(4 * rows), bytes(8 * rows)))
    assert world.ended == calls
    for call in calls:
        error = error_of(call)
        assert isinstance(error, InferenceError)
        assert f"its answer for 3 images of 2 classes holds {12 * rows} bytes; 36 are expected" in error.message
    # What follows on this stream cannot be trusted.
    assert world.link.closed


@pytest.mark.parametrize(("ahead", "images"), [(1, 3), (0, 2)])
def test_an_answer_to_another_batch_fails_its_calls(world: World, ahead: int, images: int) -> None:
    calls = world.ask(1, 2)
    request = world.received()
    world.say(frames.answer(request.batch_id + ahead, images, TIMING, bytes(4 * images), bytes(8 * images)))
    assert world.ended == calls
    assert all("was expected" in str(error_of(call)) for call in calls)
    assert world.link.closed


def test_what_is_no_answer_at_all_fails_what_is_in_flight(world: World) -> None:
    calls = world.ask(3)
    world.say(bytes(4) + b"\x09" + bytes(60))
    assert world.ended == calls
    assert "an answer of the unknown status 9" in str(error_of(calls[0]))
    assert world.link.closed


def test_only_the_calls_whose_rows_went_wrong_fail(world: World) -> None:
    first, second, third = world.ask(1, 2, 1)
    request = world.received()
    world.say(frames.answer(request.batch_id, 4, TIMING, bytes(16), bytes(32), {2: "poison"}))
    assert sorted(map(id, world.ended)) == sorted(map(id, (first, second, third)))
    assert [error_of(call) is None for call in (first, second, third)] == [True, False, True]
    assert str(error_of(second)) == "variant 'fp32': poison"
    assert not world.link.closed


def test_a_hook_that_fails_leaves_no_call_unanswered(world: World) -> None:
    world.hook_fault = IndexError("a class beyond the last")
    calls = world.ask(1, 1)
    request = world.received()
    world.say(frames.answer(request.batch_id, 2, TIMING, bytes(8), bytes(16)))
    assert world.ended == calls
    assert all("the answer could not be delivered (IndexError: a class" in str(error_of(call)) for call in calls)


def test_what_arrives_together_is_told_and_answered_together(world: World) -> None:
    (first,) = world.ask(1)
    calls = world.ask_together(3)
    world.say(frames.answer(world.received().batch_id, 1, TIMING, bytes(4), bytes(8)))
    request = world.received()
    assert request.images == 3
    world.say(frames.answer(request.batch_id, 3, TIMING, bytes(12), bytes(24)))
    assert world.ended == [first, *calls]
    assert world.told == [["routed"], ["routed"] * 3, ["answered"], ["answered"] * 3]
    assert [call.total_ns for call in calls] == [calls[0].total_ns - later for later in range(3)]


def test_of_what_arrives_together_each_is_refused_by_itself(world: World) -> None:
    world.ask(1)
    world.channel.queue.policy = BatchPolicy(bounds=Amount(9, 2, 99))
    first, second, third = world.ask_together(3)
    assert world.ended == [third]
    assert isinstance(error_of(third), QueueFullError)
    assert [error_of(call) for call in (first, second)] == [None, None]


def test_a_server_that_goes_away_takes_none_of_what_arrives_together(world: World) -> None:
    world.engine.draining = True
    with pytest.raises(DrainingError, match="the server is shutting down"):
        world.ask_together(1)
    assert world.told == []


def test_a_count_of_batches_that_fails_takes_no_answer_back(world: World) -> None:
    world.transfer_fault = ValueError("no cell")
    calls = world.ask(1, 1)
    request = world.received()
    world.say(frames.answer(request.batch_id, 2, TIMING, bytes(8), bytes(16)))
    assert world.ended == calls
    assert [error_of(call) for call in calls] == [None, None]
    assert not world.link.closed


def test_a_caller_that_cannot_take_its_answer_is_told_so_and_its_neighbours_are_answered(world: World) -> None:
    told: list[TwinserveError | None] = []

    def fail_once(call: Call) -> None:
        told.append(error_of(call))
        if len(told) == 1:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    call = world.engine.open_call(world.served, "", "", "")
    world.engine.run(call, bytes(4), "UINT8", 1, fail_once)
    request = world.received()
    (neighbour,) = world.ask(1)
    world.say(frames.answer(request.batch_id, 1, TIMING, bytes(4), bytes(8)))
    request = world.received()
    world.say(frames.answer(request.batch_id, 1, TIMING, bytes(4), bytes(8)))
    assert told[0] is None
    assert "UnicodeEncodeError" in str(told[1])
    assert world.ended == [neighbour]
    assert error_of(neighbour) is None


def test_a_batch_that_cannot_be_sent_fails_its_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        raise OverflowError("4 GiB")

    monkeypatch.setattr(frames, "request_header", broken)
    calls = world.ask(1, 1)
    assert world.ended == calls
    assert all("the batch could not be sent (4 GiB)" in str(error_of(call)) for call in calls)
    assert world.link.closed


def test_a_fault_is_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.hook_fault = IndexError("a class beyond the last")
    world.ask(1)
    world.say(frames.answer(world.received().batch_id, 1, TIMING, bytes(4), bytes(8)))
    (record,) = caplog.records
    assert "its answer could not be delivered" in record.getMessage()
    assert record.exc_info is not None
