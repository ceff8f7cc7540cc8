"""A log that nobody reads stops nothing: its output neither raises nor blocks, and counts what it dropped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from twinserve_server.host.standard_error import MAX_WAITING_BYTES, StandardError

LINE = "a line of the log, " + "x" * 80 + "\n"
#: More than a pipe and what waits beside it take.
MANY = 2 * ((1 << 20) + MAX_WAITING_BYTES) // len(LINE)


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Where to read and where to write."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        pair = socket.socketpair()
        reading, writing = pair[0].detach(), pair[1].detach()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def read_lines(descriptor: int) -> int:
    """Whole lines that can be read now."""
    os.set_blocking(descriptor, False)
    lines = 0
    with suppress(BlockingIOError):
        while data := os.read(descriptor, 1 << 16):
            lines += data.count(b"\n")
    return lines


def test_what_is_read_arrives(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = StandardError(writing)
    output.write("ä line\n")
    assert os.read(reading, 100) == "ä line\n".encode()
    assert output.lost == 0


def test_text_that_cannot_be_encoded_is_written_all_the_same(ends: tuple[int, int]) -> None:
    reading, writing = ends
    StandardError(writing).write("\ud800\n")
    assert os.read(reading, 100) == b"\\ud800\n"


def test_a_reader_that_does_not_read_holds_nobody_up(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = StandardError(writing)
    for _ in range(MANY):
        output.write(LINE)
    assert output.lost > 0
    arrived = 0
    while now := read_lines(reading):
        arrived += now
        output.flush()
    assert arrived + output.lost == MANY
    # Others that share the descriptor still wait where they waited.
    assert os.get_blocking(writing)


def test_a_reader_that_is_gone_is_no_error(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = StandardError(writing)
    os.close(reading)
    for _ in range(10):
        output.write(LINE)
    output.finish()
    assert output.lost == 10


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_does_not_become_the_next_file(closed: str) -> None:
    program = """
import os, sys
from twinserve_server.host.standard_error import protect_standard_error
protect_standard_error()
print("lost", file=sys.stderr)
opened = os.open("/dev/zero", os.O_RDONLY)
sys.exit(opened if opened <= 2 or os.readlink("/proc/self/fd/2") != "/dev/null" else 0)
"""
    done = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program], check=False, timeout=60)
    assert done.returncode == 0


def test_where_nothing_can_be_opened_anew_it_asks_first(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> int:
        raise FileNotFoundError

    with monkeypatch.context() as changed:
        changed.setattr(os, "open", missing)
        output = StandardError(ends[1])
    write: Callable[[str], int] = output.write
    for _ in range(MANY):
        write(LINE)
    assert output.lost > 0
    assert os.get_blocking(ends[1])
