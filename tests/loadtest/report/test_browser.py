"""The page in a real Chromium: quiet, self-contained, and readable on a phone, a desk and paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from loadtest.report.sample_files import Files
from twinserve_loadtest.report import write_report

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = 390, 1440
KINDS = ("small", "killed", "both")

#: Contrast of every piece of text with what lies behind it, as WCAG 2.2 computes it; those below the limit.
LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => {
    const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
    return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const behind = element => { for (let at = element; at; at = at.parentElement) {
    const colour = rgb(getComputedStyle(at).backgroundColor); if (colour[3] === 255) return colour; } };
  const except = '.skip, .segment-label, title, .confusion .none';
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.matches(except)) continue;
    const style = getComputedStyle(element);
    const a = light(rgb(element instanceof SVGElement ? style.fill : style.color)), b = light(behind(element));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push([element.tagName, element.className.baseVal ?? element.className, ratio.toFixed(2)]);
  }
  return low;
}"""
SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length
    && !e.matches('title'))
  .map(e => parseFloat(getComputedStyle(e).fontSize)))"""
#: What is wider than the page, unless it lies in a box that scrolls by itself.
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll, .command, .skip, svg') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + '.' + e.className)"""


@dataclass(slots=True)
class Opened:
    """A page, and what it said and asked for while it was opened."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    inputs = {kind: [getattr(files, kind)] for kind in ("small", "killed", "comparison")}
    inputs["both"] = [files.load_test, files.comparison]
    return {kind: write_report(given, folder / f"{kind}.html") for kind, given in inputs.items()}


@pytest.fixture(
    params=[(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")], ids=lambda p: f"{p[0]}-{p[1]}"
)
def view(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Opened]:
    """An empty page of one width and colour scheme."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = Opened(context.new_page())
    opened.page.on("console", lambda message: opened.console.append(message.text))
    opened.page.on("pageerror", lambda error: opened.console.append(str(error)))
    opened.page.on("request", lambda asked: opened.requests.append(asked.url))
    yield opened
    context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_quiet_whole_and_fits(kind: str, view: Opened, pages: dict[str, Path]) -> None:
    address = pages[kind].as_uri()
    view.page.goto(address)
    assert view.console == []
    assert [url for url in view.requests if not url.startswith("data:")] == [address]
    assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert view.page.evaluate(TOO_WIDE) == []
    assert view.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert view.page.evaluate(
        "[...document.querySelectorAll('svg.canvas')].every(e => e.getBoundingClientRect().width > 100"
        " && e.getBoundingClientRect().height >= 18)"
    )
    assert view.page.evaluate(SMALLEST_TEXT) >= 11
    assert view.page.evaluate(LOW_CONTRAST) == []


def test_every_line_and_bar_is_drawn_in_its_variants_colour(view: Opened, pages: dict[str, Path]) -> None:
    view.page.goto(pages["both"].as_uri())
    strokes = view.page.evaluate("[...document.querySelectorAll('path.line')].map(e => getComputedStyle(e).stroke)")
    bars = view.page.evaluate("[...document.querySelectorAll('rect.bar')].map(e => getComputedStyle(e).fill)")
    assert len(set(strokes)) == 3
    assert set(bars) == set(strokes)
    assert view.page.evaluate("[...document.querySelectorAll('path.line')].every(e => e.getTotalLength() > 100)")


def test_ticks_of_an_axis_do_not_run_into_each_other(view: Opened, pages: dict[str, Path]) -> None:
    view.page.goto(pages["both"].as_uri())
    crowded = view.page.evaluate("""() => [...document.querySelectorAll('svg.canvas')].flatMap(svg => {
      const boxes = [...svg.querySelectorAll('text.tick:not(.limit-label)')].map(e => e.getBoundingClientRect());
      return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
        a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3).map(b => [a.x, b.x]));
    })""")
    assert crowded == []


def test_wide_tables_scroll_inside_their_box_on_a_phone(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": PHONE, "height": 900})
    page.goto(pages["comparison"].as_uri())
    widths = page.evaluate("[...document.querySelectorAll('.scroll')].map(e => [e.scrollWidth, e.clientWidth])")
    assert any(inside > box for inside, box in widths)
    assert all(box <= PHONE for _, box in widths)
    page.close()


def test_on_paper_the_page_is_light_and_has_no_navigation(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": DESK, "height": 900}, color_scheme="dark")
    page.goto(pages["comparison"].as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".contents").is_visible()
    assert page.pdf(prefer_css_page_size=True, print_background=True).startswith(b"%PDF")
    page.close()


def test_the_contents_lead_to_every_section(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": DESK, "height": 900})
    page.goto(pages["comparison"].as_uri())
    links = page.locator(".contents a")
    assert links.count() == 12
    for target in links.evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        assert page.locator(target).count() == 1
    page.close()
