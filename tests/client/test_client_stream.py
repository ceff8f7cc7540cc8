"""Prediction streams: order, back-pressure, errors in their places, clean ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from grpc.aio._call import StreamStreamCall

from support.client_face import Face
from support.digit_server import SHAPE, Server
from twinserve_client import (
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    Prediction,
    UnavailableError,
)

Images = npt.NDArray[np.uint8]


def numbered(count: int) -> Iterator[Images]:
    """Single images with the classes 0, 1, … modulo 10."""
    for number in range(count):
        image = np.zeros(SHAPE, np.uint8)
        image[0, 0] = number % 10
        yield image


def test_answers_come_in_the_order_of_the_images(face: Face, client: Any, server: Server) -> None:
    answers = face.take(client.predict_stream(numbered(300), variant="int8", routing_key="k", max_in_flight=8))
    assert [answer.classes[0] for answer in answers] == [number % 10 for number in range(300)]
    assert {answer.variant for answer in answers} == {"int8"}
    assert answers[7].label == "seven"
    assert server.behaviour.calls == ["PredictStream", "DescribeModel"]


def test_a_request_of_a_stream_may_hold_many_images(face: Face, client: Any, digits: Images) -> None:
    answers = face.take(client.predict_stream([digits, digits[:2]]))
    assert [answer.classes.tolist() for answer in answers] == [[0, 1, 2, 3, 4], [0, 1]]


def test_an_empty_stream_ends(face: Face, client: Any) -> None:
    assert face.take(client.predict_stream([])) == []


def test_an_asynchronous_iterable_is_taken(server: Server) -> None:
    face = Face(asynchronous=True)

    async def images() -> Any:
        for image in numbered(20):
            yield image

    try:
        answers = face.take(face.open(server.target).predict_stream(images()))
        assert [answer.classes[0] for answer in answers] == [number % 10 for number in range(20)]
    finally:
        face.close()


def test_no_more_is_drawn_than_may_be_in_flight(face: Face, client: Any, server: Server) -> None:
    drawn = []

    def images() -> Iterator[Images]:
        for number, image in enumerate(numbered(100)):
            drawn.append(number)
            yield image

    stream = client.predict_stream(images(), max_in_flight=4)
    # Whoever has read n answers has made room for n + 4 requests and no more.
    for read in range(1, 20):
        face.take(stream, 1)
        assert len(drawn) <= read + 4
    assert len(face.take(stream)) == 81
    assert len(drawn) == 100


@pytest.mark.parametrize("wrong", [np.zeros((5, 5), np.uint8), np.zeros(SHAPE, np.int64)], ids=["server", "client"])
def test_the_error_of_an_item_takes_its_place(face: Face, client: Any, wrong: npt.NDArray[Any]) -> None:
    images = [*numbered(3), wrong, *numbered(2)]
    outcomes = face.take(client.predict_stream(images, on_error="return"))
    assert [type(outcome) for outcome in outcomes] == [Prediction] * 3 + [InvalidInputError] + [Prediction] * 2
    assert [outcome.classes[0] for outcome in outcomes[4:]] == [0, 1]


@pytest.mark.parametrize("wrong", [np.zeros((5, 5), np.uint8), np.zeros(SHAPE, np.int64)], ids=["server", "client"])
def test_the_error_of_an_item_is_raised_in_its_place(
    face: Face, client: Any, server: Server, wrong: npt.NDArray[Any]
) -> None:
    stream = client.predict_stream([*numbered(3), wrong, *numbered(2)])
    assert len(face.take(stream, 3)) == 3
    with pytest.raises(InvalidInputError, match="input"):
        face.take(stream, 1)
    assert face.take(stream) == []
    assert server.behaviour.stream_ended.wait(10)


def test_a_failing_iterable_raises_its_own_error_after_the_answers(face: Face, client: Any) -> None:
    def images() -> Iterator[Images]:
        yield from numbered(3)
        raise KeyError("the disk is gone")

    stream = client.predict_stream(images())
    assert len(face.take(stream, 3)) == 3
    with pytest.raises(KeyError, match="the disk is gone"):
        face.take(stream, 1)


def test_leaving_early_ends_the_stream_on_both_sides(face: Face, client: Any, server: Server) -> None:
    stream = client.predict_stream(numbered(10**9), max_in_flight=4)
    face.take(stream, 5)
    face.close_stream(stream)
    assert server.behaviour.stream_ended.wait(10)
    assert server.behaviour.stream_read < 20


def test_a_server_that_ends_too_soon_is_an_error(face: Face, client: Any, server: Server) -> None:
    server.behaviour.stream_cut_after = 2
    # grpc.aio loses the status of a call that ends while it is writing.
    with pytest.raises((InternalError, UnavailableError), match=r"ended the stream before|broke off while"):
        face.take(client.predict_stream(numbered(50)))


def test_a_call_may_end_before_its_sender_goes_on(
    face: Face, client: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Any = StreamStreamCall
    half_close = calls.done_writing

    async def go_on_after_the_end(call: Any) -> None:
        await half_close(call)
        await call.code()

    monkeypatch.setattr(calls, "done_writing", go_on_after_the_end)
    assert len(face.take(client.predict_stream(numbered(3)))) == 3


def test_a_reader_wakes_when_the_stream_dies_while_no_image_comes(server: Server, client: Any, face: Face) -> None:
    server.behaviour.stream_cut_after = 1
    never = threading.Event()

    def images() -> Iterator[Images]:
        yield from numbered(2)
        never.wait(30)

    async def images_later() -> Any:
        for image in numbered(2):
            yield image
        while not never.is_set():
            await face.pause()

    stream = client.predict_stream(images_later() if face.asynchronous else images())
    try:
        with pytest.raises(InternalError, match="ended the stream before"):
            face.take(stream)
    finally:
        never.set()


def test_the_timeout_of_a_stream_covers_all_of_it(face: Face, client: Any, server: Server) -> None:
    server.behaviour.holding = True
    with pytest.raises(DeadlineExceededError):
        face.take(client.predict_stream(numbered(5), timeout=0.05))


def test_nobody_there_fails_the_stream(face: Face) -> None:
    with pytest.raises(UnavailableError):
        face.take(face.open("127.0.0.1:1", retries=None).predict_stream(numbered(5)))


def test_a_stream_of_a_closed_client_says_so(face: Face, client: Any) -> None:
    face.run(client.close())
    with pytest.raises(ClientClosedError):
        face.take(client.predict_stream(numbered(5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_in_flight": 0}, "max_in_flight: is 0; give a whole number from 1"),
        ({"on_error": "ignore"}, "on_error: is 'ignore'; give"),
    ],
)
def test_wrong_options_are_refused_at_once(client: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        client.predict_stream(numbered(5), **options)
