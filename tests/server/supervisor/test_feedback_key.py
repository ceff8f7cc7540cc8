"""Keys for signed answers, and the labels that were counted already."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_server.errors import RepeatedFeedbackError
from twinserve_server.supervisor.claims import Claims
from twinserve_server.supervisor.feedback_key import FeedbackKeyError, feedback_keys


def test_the_first_line_signs_and_all_are_known(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("n" * 32 + "\n\n" + "o" * 40 + "\n")
    assert feedback_keys(path) == (b"n" * 32, b"o" * 40)


def test_without_a_file_each_server_has_a_key_of_its_own() -> None:
    assert feedback_keys(None) != feedback_keys(None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file"),
        ("\n", "has no key"),
        ("secret-and-short", "line 1 holds 16 characters, too few"),
        ("x" * 70_000, "holds more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_without_its_content(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FeedbackKeyError, match=message) as caught:
        feedback_keys(path)
    assert "openssl rand -hex 32" in caught.value.message
    assert "secret-and-short" not in caught.value.message


def test_an_answer_is_judged_once() -> None:
    claims = Claims(most=2)
    claims.claim("a")
    with pytest.raises(RepeatedFeedbackError, match="already counted"):
        claims.claim("a")
    claims.claim("b")
    claims.claim("c")
    claims.claim("a")
