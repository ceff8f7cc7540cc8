"""A decision is cited by its number: the file's name and its heading bear the same one, and no two share it."""

from __future__ import annotations

from pathlib import Path

DECISIONS = sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("*.md"))


def test_the_decisions_are_numbered_one_after_another() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_heading_bears_the_number_of_the_file() -> None:
    headings = [path.read_text().splitlines()[0] for path in DECISIONS]
    assert [heading.partition(".")[0] for heading in headings] == [f"# {int(path.name[:4])}" for path in DECISIONS]
