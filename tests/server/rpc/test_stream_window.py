"""The window of a stream: so many requests, or images, in work, and no more are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twinserve_server.rpc.stream_window import STREAM_WINDOW, StreamWindow


class Method:
    """Takes ``raw`` for as many images as it has bytes; answers when the test says so."""

    def __init__(self, window_images: int = 100) -> None:
        self.window_images = window_images
        self.slots: list[Any] = []

    def begin(self, raw: bytes, _deadline_ns: int, slot: Any, /) -> Any:
        self.slots.append(slot)
        return SimpleNamespace(job=SimpleNamespace(count=len(raw)))

    def abandon(self, *_: Any) -> None:
        pass


def filled(method: Method, *images: int) -> list[bool]:
    """Whether the window is full after each request of so many images."""
    window = StreamWindow(method, 0, lambda: None)
    full = []
    for count in images:
        window.add(bytes(count))
        full.append(window.full)
    return full


def test_it_is_full_at_its_number_of_requests() -> None:
    assert filled(Method(STREAM_WINDOW + 1), *[1] * STREAM_WINDOW) == [False] * (STREAM_WINDOW - 1) + [True]


def test_it_is_full_at_its_number_of_images() -> None:
    assert filled(Method(), 60, 39, 1) == [False, False, True]


def test_it_is_open_again_when_images_are_answered() -> None:
    method = Method()
    window = StreamWindow(method, 0, lambda: None)
    for count in (60, 40):
        window.add(bytes(count))
    method.slots[0].answer(b"first")
    assert window.pop() == b"first"
    assert not window.full


def test_one_request_larger_than_the_window_is_taken_alone() -> None:
    assert filled(Method(), 1000) == [True]
