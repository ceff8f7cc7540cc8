"""Good bytes, spoilt: the same seed spoils them in the same way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

#: Values that tend to break the handling of numbers, lengths and texts.
_EVIL: Final = (
    b"", b"\0", b"\xff", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80" * 12, b"\xed\xa0\x80", b"\xc0\xaf",
    b"NaN", b"1e999", b"-1", b"0" * 40, b"9" * 400, b"[" * 3000, b'{"a":' * 500, b"null", b'""', b"\r\n", b"../..",
    b"\x7f\xc0\x00\x00", "é\N{ZERO WIDTH SPACE}²".encode(), b"%s%n{}", b"x" * 5000,
)  # fmt: skip
#: Messages are cut to this, so that memory tells of leaks and not of large messages.
_MOST_BYTES: Final = 1 << 16


def mutations(good: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """``count`` messages, each one of ``good`` with one to eight things done to it."""
    dice = random.Random(seed)
    for _ in range(count):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 8)):
            if (way := dice.choice(_WAYS)) is None:
                _splice(data, dice, dice.choice(good))
            else:
                way(data, dice)
        yield bytes(data[:_MOST_BYTES])


def _at(data: bytearray, dice: random.Random) -> int:
    """A place, more often near the front, where names, types and lengths are."""
    return min(dice.randrange(len(data) + 1), dice.randrange(len(data) + 1))


def _flip(data: bytearray, dice: random.Random) -> None:
    if data:
        data[_at(data, dice) - 1] ^= 1 << dice.randrange(8)


def _replace(data: bytearray, dice: random.Random) -> None:
    at, evil = _at(data, dice), dice.choice(_EVIL)
    data[at : at + len(evil)] = evil


def _insert(data: bytearray, dice: random.Random) -> None:
    at = _at(data, dice)
    data[at:at] = dice.choice((*_EVIL, dice.randbytes(dice.randint(1, 16))))


def _cut(data: bytearray, dice: random.Random) -> None:
    at = _at(data, dice)
    del data[at : at + dice.randint(1, 32)]


def _truncate(data: bytearray, dice: random.Random) -> None:
    del data[_at(data, dice) :]


def _repeat(data: bytearray, dice: random.Random) -> None:
    at = _at(data, dice)
    data[at:at] = data[at : at + dice.randint(1, 64)] * dice.randint(1, 4)


def _splice(data: bytearray, dice: random.Random, other: bytes) -> None:
    data[_at(data, dice) :] = other[dice.randrange(len(other) + 1) :]


#: None: continued with the end of another good message.
_WAYS: Final[tuple[Callable[[bytearray, random.Random], None] | None, ...]] = (
    _flip, _flip, _replace, _insert, _cut, _truncate, _repeat, None,
)  # fmt: skip
