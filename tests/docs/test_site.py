"""The site is built strictly, its links lead somewhere, and a browser fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a browser fetches by itself.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "link": "href"}


class Page(HTMLParser):
    """The anchors of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.anchors |= {name for name in (told.get("id"), told.get("name")) if name}
        if tag == "a" and (target := told.get("href")):
            self.links.append(target)
        if (target := told.get(FETCHED.get(tag, ""))) and told.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 40
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses are those of the root of a web server
            continue
        for target in page.links:
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            found = (path.parent / name).resolve() if name else path
            assert found.exists(), f"{path.name}: {target}"
            if anchor and found in pages and not anchor.startswith("__"):
                assert anchor in pages[found].anchors, f"{path.name}: {target}"
        assert [target for target in page.fetched if re.match(r"(https?:)?//", target)] == [], path.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\"' ]*(https?:)?//", sheet.read_text("utf-8")), sheet.name


def test_the_reference_is_made_from_the_code(site: Path) -> None:
    for page, words in {
        "reference/cli.html": ["twinserve models import-triton", "--min-speedup", "import-triton model_repository"],
        "reference/sdk.html": ["predict_stream", "OverloadedError", "max_in_flight"],
        "reference/proto.html": ["PredictService", "GRPCInferenceService"],
        "decisions/index.html": ["Gateways and model processes"],
    }.items():
        text = (site / page).read_text("utf-8")
        for word in words:
            assert word in re.sub(r"<[^>]+>", "", text), (page, word)
