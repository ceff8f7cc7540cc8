"""Frames survive whatever pieces a stream arrives in."""

from __future__ import annotations

import random

from twinserve_server.engine.frames import REQUEST, FrameReader


def frame(number: int, payload: bytes) -> bytes:
    return REQUEST.pack(len(payload), 1, 0, 1, number) + payload


def test_whole_frames_pass_through() -> None:
    reader = FrameReader(REQUEST)
    found = [(fields[4], bytes(payload)) for fields, payload in reader.feed(frame(1, b"ab") + frame(2, b""))]
    assert found == [(1, b"ab"), (2, b"")]


def test_every_way_to_cut_a_stream_gives_the_same_frames() -> None:
    random.seed(3)
    frames = [(number, bytes([number]) * random.randrange(40)) for number in range(50)]
    stream = b"".join(frame(number, payload) for number, payload in frames)
    for _ in range(50):
        reader, found, rest = FrameReader(REQUEST), [], stream
        while rest:
            size = random.randrange(1, 60)
            found += [(fields[4], bytes(payload)) for fields, payload in reader.feed(rest[:size])]
            rest = rest[size:]
        assert found == frames
