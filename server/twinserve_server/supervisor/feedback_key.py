"""The keys by which servers recognise each other's answers: from a shared file, or generated at the start."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from twinserve_server.errors import TwinserveError

LEAST_CHARACTERS: Final = 32
MAX_BYTES: Final = 1 << 16


class FeedbackKeyError(TwinserveError):
    """The key file cannot be used; the message says why, and never quotes its content."""

    reason = "FEEDBACK_KEY"


def feedback_keys(path: Path | None) -> tuple[bytes, ...]:
    """The keys in a file, one per line: the first signs, all verify. None generates one for this server.

    Raises:
        FeedbackKeyError: the file cannot be read, or a line is too short for a key.
    """
    if path is None:
        return (secrets.token_bytes(32),)
    how = f"write one with `openssl rand -hex 32 > {path}`"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FeedbackKeyError(f"--feedback-key: {path}: cannot be read ({error.strerror}); {how}") from None
    if len(content) > MAX_BYTES:
        raise FeedbackKeyError(f"--feedback-key: {path}: holds more than {MAX_BYTES} bytes; {how}")
    lines = [(number, line.strip()) for number, line in enumerate(content.split(b"\n"), 1)]
    keys = tuple(line for _, line in lines if line)
    if not keys:
        raise FeedbackKeyError(f"--feedback-key: {path}: has no key; {how}")
    for number, line in lines:
        if 0 < len(line) < LEAST_CHARACTERS:
            raise FeedbackKeyError(
                f"--feedback-key: {path}: line {number} holds {len(line)} characters, too few for a key "
                f"({LEAST_CHARACTERS} at least); {how}"
            )
    return keys
