"""Frames survive whatever pieces a stream arrives in, and say so when they are none."""

from __future__ import annotations

import random
import struct

import pytest

from twinserve_server.engine import frames
from twinserve_server.engine.frames import FrameError, read_answers, read_requests, request_header, split_answer
from twinserve_server.engine.job import BatchTiming

TIMING = BatchTiming(1, 2, 3, 4, 5)


def frame(number: int, payload: bytes) -> bytes:
    return request_header("UINT8", 1, number, len(payload)) + payload


def test_whole_frames_pass_through() -> None:
    found = [(got.batch_id, bytes(got.payload)) for got in read_requests().feed(frame(1, b"ab") + frame(2, b""))]
    assert found == [(1, b"ab"), (2, b"")]


def test_every_way_to_cut_a_stream_gives_the_same_frames() -> None:
    random.seed(3)
    sent = [(number, bytes([number]) * random.randrange(40)) for number in range(50)]
    stream = b"".join(frame(number, payload) for number, payload in sent)
    for _ in range(50):
        reader, found, rest = read_requests(), [], stream
        while rest:
            size = random.randrange(1, 60)
            found += [(got.batch_id, bytes(got.payload)) for got in reader.feed(rest[:size])]
            rest = rest[size:]
        assert found == sent


def test_an_answer_says_what_it_answers() -> None:
    (got,) = read_answers().feed(frames.answer(7, 2, TIMING, bytes(8), bytes(24)))
    assert (got.batch_id, got.images, got.timing) == (7, 2, TIMING)
    classes, probabilities, errors = split_answer(got, classes=3)
    assert (len(classes), len(probabilities), errors) == (8, 24, {})


def test_an_answer_tells_which_rows_went_wrong() -> None:
    (got,) = read_answers().feed(frames.answer(7, 2, TIMING, bytes(8), bytes(24), {1: "poison"}))
    assert split_answer(got, classes=3)[2] == {1: "poison"}


@pytest.mark.parametrize("size", [0, 4, 23, 25])
def test_an_answer_of_another_size_than_its_images_have_is_refused(size: int) -> None:
    (got,) = read_answers().feed(frames.answer(7, 2, TIMING, bytes(8), bytes(size)))
    with pytest.raises(FrameError, match=f"2 images of 3 classes holds {8 + size} bytes; 32 are expected"):
        split_answer(got, classes=3)


def test_a_request_of_another_size_than_its_images_have_is_refused() -> None:
    (got,) = read_requests().feed(request_header("FP32", 2, 1, 9) + bytes(9))
    with pytest.raises(FrameError, match="2 images of FP32 in 9 bytes"):
        frames.check_size(got, {"UINT8": 1, "FP32": 4})


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(FrameError, match="unknown datatype 9"):
        list(read_requests().feed(struct.pack("<IHHIQ", 0, 9, 0, 1, 1)))
    with pytest.raises(FrameError, match="unknown status 9"):
        list(read_answers().feed(struct.pack("<IHHIQIQQQQ", 0, 9, 0, 1, 1, 1, 0, 0, 0, 0)))
