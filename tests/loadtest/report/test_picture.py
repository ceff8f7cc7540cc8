"""The one wide picture: SVG or PNG, the same bytes for the same results."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from loadtest.report.sample_files import Files
from twinserve_loadtest.report.document import Document, Served
from twinserve_loadtest.report.html import render_html
from twinserve_loadtest.report.inputs import ReportError
from twinserve_loadtest.report.picture import THEMES, draw_picture

Read = Callable[..., Document]


def test_an_svg_needs_no_font_and_no_network(files: Files, document_of: Read, tmp_path: Path) -> None:
    text = draw_picture(document_of(files.load_test), tmp_path / "new" / "result.svg").read_text()
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert "path" in tags
    assert not tags & {"text", "image", "script", "style"} - {"style"}
    assert not re.findall(r'href="(?!#)', text)


def test_the_same_results_give_the_same_bytes(files: Files, document_of: Read, tmp_path: Path) -> None:
    pictures = [draw_picture(document_of(files.load_test), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg")]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_a_png_is_wide_and_in_its_theme(theme: str, files: Files, document_of: Read, tmp_path: Path) -> None:
    path = draw_picture(document_of(files.comparison), tmp_path / "result.PNG", theme)
    with Image.open(path) as picture:
        assert picture.width > 2 * picture.height
        red, green, blue = picture.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
        assert f"#{red:02x}{green:02x}{blue:02x}" == THEMES[theme].paper
        colours = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in picture.convert("RGB").getcolors(1 << 24) or []}  # type: ignore[misc]
        assert set(THEMES[theme].slots[:2]) <= colours


def test_the_colours_are_those_of_the_page(files: Files, document_of: Read) -> None:
    html = render_html(document_of(files.load_test))
    for theme in THEMES.values():
        for slot, colour in enumerate(theme.slots):
            assert f"--v{slot}: {colour};" in html


def test_what_was_not_measured_leaves_a_gap_that_says_so(files: Files, document_of: Read, tmp_path: Path) -> None:
    document = document_of(files.load_test)
    bare = replace(document, table=[replace(row, served=Served()) for row in document.table])
    whole, gap = (draw_picture(d, tmp_path / f"{n}.svg").read_text() for n, d in (("whole", document), ("gap", bare)))
    assert gap != whole


@pytest.mark.parametrize(
    ("name", "theme", "complaint"), [("a.gif", "light", r"\.svg or \.png"), ("a.svg", "blue", "blue")]
)
def test_what_cannot_be_drawn_is_named(
    name: str, theme: str, complaint: str, files: Files, document_of: Read, tmp_path: Path
) -> None:
    with pytest.raises(ReportError, match=complaint):
        draw_picture(document_of(files.load_test), tmp_path / name, theme)
