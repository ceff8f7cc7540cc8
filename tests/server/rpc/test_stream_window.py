"""The window of a stream: so many requests, or images, in work, and no more are read."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twinserve_server.engine.amount import Amount
from twinserve_server.engine.call import Call
from twinserve_server.errors import InvalidInputError
from twinserve_server.rpc.callback import Arrival, DirectStream, begin_alone
from twinserve_server.rpc.stream_window import STREAM_WINDOW, StreamWindow

WINDOW = Amount(requests=1000, images=100, bytes=10_000)


class Method:
    """Takes ``raw`` for as many images as it has bytes; answers when the test says so."""

    def __init__(self) -> None:
        self.slots: list[Any] = []

    def begin(self, raw: bytes, _deadline_ns: int, slot: Any, /) -> Any:
        self.slots.append(slot)
        return SimpleNamespace(job=SimpleNamespace(count=len(raw), data=raw))

    def begin_all(self, arrivals: Sequence[Arrival], /) -> list[Call | None]:
        return [begin_alone(self.begin, arrival) for arrival in arrivals]

    def abandon(self, *_: Any) -> None:
        pass


def stream(method: Method, window: Amount = WINDOW) -> StreamWindow:
    """A window whose answers and refusals can be told apart."""
    direct = DirectStream(method, window, lambda answer: b"+" + answer, lambda error, _: b"-" + str(error).encode())
    return StreamWindow(direct, 0, "peer", lambda: None)


def filled(window: StreamWindow, *images: int) -> list[bool]:
    """Whether the window is full after each request of so many images."""
    full = []
    for count in images:
        window.add(bytes(count))
        full.append(window.full)
    return full


def test_it_is_full_at_its_number_of_requests() -> None:
    assert filled(stream(Method(), Amount(STREAM_WINDOW + 1, 10_000, 10_000)), *[1] * STREAM_WINDOW) == [False] * (
        STREAM_WINDOW - 1
    ) + [True]


def test_it_is_full_at_its_number_of_images() -> None:
    assert filled(stream(Method()), 60, 39, 1) == [False, False, True]


def test_it_is_full_at_its_number_of_bytes() -> None:
    assert filled(stream(Method(), Amount(1000, 1000, 70)), 60, 9, 1) == [False, False, True]


def test_a_small_queue_bounds_its_requests_as_well() -> None:
    assert filled(stream(Method(), Amount(2, 1000, 1000)), 1, 1) == [False, True]


def test_it_is_open_again_when_images_are_answered() -> None:
    method = Method()
    window = stream(method)
    for count in (60, 40):
        window.add(bytes(count))
    method.slots[0].answer(b"first")
    assert window.pop() == b"+first"
    assert not window.full


def test_one_request_larger_than_the_window_is_taken_alone() -> None:
    assert filled(stream(Method()), 1000) == [True]


def test_a_refused_request_is_answered_in_its_turn() -> None:
    method = Method()
    window = stream(method)
    for _ in range(2):
        window.add(b"x")
    method.slots[1].answer(b"second")
    assert window.pop() is None
    method.slots[0].refuse(InvalidInputError("first"), "id")
    assert [window.pop(), window.pop()] == [b"-first", b"+second"]
