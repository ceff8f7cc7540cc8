"""One page, whole in itself: everything that was found is on it, and nothing is fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from loadtest.report.sample_files import Files
from twinserve_loadtest.report import json_path, write_report
from twinserve_loadtest.report.content import DataTable
from twinserve_loadtest.report.document import Document, Figure
from twinserve_loadtest.report.html import codes, render_html

Read = Callable[..., Document]


class Page(HTMLParser):
    """Elements, and the text a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def figures(document: Document) -> Iterator[Figure]:
    for section in document.sections:
        yield from section.figures


def test_the_page_and_its_json_are_written_side_by_side(files: Files, tmp_path: Path) -> None:
    page = write_report([files.comparison], tmp_path / "new" / "answer.html")
    assert page == tmp_path / "new" / "answer.html"
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(json_path(page).read_text())["headlines"][0]["outcome"] == "SHIP"


def test_the_json_never_takes_the_name_of_a_results_file(tmp_path: Path) -> None:
    assert json_path(tmp_path / "loadtest.html") != tmp_path / "loadtest.json"


@pytest.mark.parametrize("kind", ["load_test", "comparison", "killed", "small", "quick"])
def test_nothing_is_fetched(kind: str, files: Files, document_of: Read) -> None:
    page = Page(render_html(document_of(getattr(files, kind))))
    assert not page.all("script")
    assert not page.all("iframe")
    for tag, name in (("img", "src"), ("link", "href")):
        for attributes in page.all(tag):
            assert str(attributes[name]).startswith("data:")
    for attributes in page.all("a"):
        assert str(attributes["href"]).startswith("#")
    (policy,) = (meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_style_names_no_address(files: Files, document_of: Read) -> None:
    style = render_html(document_of(files.comparison)).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("kind", ["load_test", "comparison", "killed"])
def test_everything_in_the_document_is_on_the_page(kind: str, files: Files, document_of: Read) -> None:
    document = document_of(getattr(files, kind))
    page = Page(render_html(document))
    text = squeezed(page.text)
    wanted = [alert.text for alert in document.alerts] + [remark.text for remark in document.caveats]
    wanted += [line.sentence for line in document.headlines]
    wanted += [tile.value for line in document.headlines for tile in line.tiles]
    wanted += [entry.command for entry in document.provenance]
    for section in document.sections:
        wanted += [section.title, section.finding or section.lead, *section.missing]
    for figure in figures(document):
        wanted += [figure.title, figure.caption, *figure.warnings]
        if isinstance(figure.content, DataTable):
            wanted += [cell for row in figure.content.rows for cell in row]
    for part in wanted:
        assert squeezed(part.replace("`", "")) in text


def test_the_data_set_stands_at_every_figure(files: Files, document_of: Read) -> None:
    document = document_of(files.small)
    html = render_html(document)
    captions = re.findall(r"<figcaption>.*?</figcaption>", html, re.DOTALL)
    assert len(captions) == len(list(figures(document))) + 1
    assert all(document.dataset.line in caption for caption in captions)


def test_every_picture_has_words_for_who_cannot_see_it(files: Files, document_of: Read) -> None:
    page = Page(render_html(document_of(files.load_test, files.comparison)))
    assert all(image.get("alt") for image in page.all("img"))
    assert all(element.get("aria-label") for _, element in page.elements if element.get("role") in ("img", "region"))
    drawings = [svg for svg in page.all("svg") if svg.get("class") == "canvas"]
    assert drawings
    assert all(svg.get("aria-hidden") == "true" for svg in drawings)


def test_headings_do_not_skip_a_level(files: Files, document_of: Read) -> None:
    page = Page(render_html(document_of(files.comparison)))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_names_from_a_file_are_text_not_markup(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test)
    evil = "<script>alert(1)</script>`<b>`"
    html = render_html(replace(document, machine=evil, headlines=[replace(document.headlines[0], sentence=evil)]))
    assert "<script>" not in html
    assert "<code>&lt;b&gt;</code>" in html


def test_backticks_become_code() -> None:
    assert codes("give `a < b` to it") == "give <code>a &lt; b</code> to it"


def test_there_is_nothing_in_the_content_that_no_template_draws() -> None:
    from twinserve_loadtest.report import content

    kinds = [
        field.default
        for thing in vars(content).values()
        if is_dataclass(thing)
        for field in fields(thing)
        if field.name == "kind"
    ]
    folder = Path(content.__file__).parent / "templates" / "charts"
    assert sorted(str(kind) for kind in kinds) == sorted(path.name.split(".")[0] for path in folder.iterdir())
