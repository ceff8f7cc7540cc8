"""The pages for people who come from elsewhere name metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

from twinserve_server.metrics import families

PAGE = (Path(__file__).parents[2] / "docs" / "migrate" / "metrics.md").read_text("utf-8")


def test_every_metric_of_ours_on_the_page_is_a_family() -> None:
    named = set(re.findall(r"twinserve_\w+", PAGE))
    assert len(named) > 8
    for name in named:
        family = re.sub(r"_(total|sum|count)$", "", name)
        assert name in families.BY_NAME or family in families.BY_NAME, name
