"""The blocks of code on the pages, as a Markdown parser finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
#: Those that a user reads; decisions are history.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "migrate").glob("*.md")),
]
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its page, its line there, its language, its text, and why it is not run (empty: it is)."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Every block of every page."""
    for page in PAGES:
        before = ""
        for token in MarkdownIt().parse(page.read_text("utf-8")):
            if token.type == "fence":
                found = NOT_RUN.fullmatch(before.strip())
                assert token.map is not None
                line = token.map[0] + 1
                yield Block(str(page.relative_to(ROOT)), line, token.info, token.content, found[1] if found else "")
            before = token.content if token.type == "html_block" else ""
