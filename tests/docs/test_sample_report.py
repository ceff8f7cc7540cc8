"""The sample report is one file to look at, of the full test set, and tells nothing of the machine's folders."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sample-report.html"


def test_it_is_small_self_contained_and_of_the_full_test_set() -> None:
    text = PAGE.read_text("utf-8")
    assert len(text) < 1_500_000
    assert "MNIST, 10,000 test images" in text
    assert not re.search(r"(/tmp|/home|/root|/work)/", text)
    assert not re.search(r"(src|href)=[\"'](https?:)?//", text)
