"""The page: a document through the templates, one file that asks nothing of the network."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from twinserve_loadtest.report import charts, numbers
from twinserve_loadtest.report.effects import CLAIMS

if TYPE_CHECKING:
    from twinserve_loadtest.report.document import Document

_OUTCOME_MARKS = {"pass": "✓", "fail": "✗", "undecided": "?"}
_TONE_MARKS = {"good": "✓", "bad": "✗", "open": "~", "plain": ""}


def render_html(document: Document) -> str:
    """The whole page as text."""
    slots = {style.name: style.slot for style in document.variants}
    return _environment().get_template("report.html.j2").render(doc=document, slots=slots)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("twinserve_loadtest.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names: dict[str, Any] = {
        "line_plot": charts.line_plot,
        "interval_plot": charts.interval_plot,
        "effect_plot": charts.effect_plot,
        "stacked_plot": charts.stacked_plot,
        "outcome_marks": _OUTCOME_MARKS,
        "tone_marks": _TONE_MARKS,
        "claim_words": CLAIMS,
        "shade": shade,
    }
    environment.globals.update(names)
    environment.filters.update(
        {
            "kilobytes": numbers.kilobytes,
            "loss": numbers.loss,
            "percent": numbers.percent,
            "seconds": numbers.seconds,
            "significant": numbers.significant,
            "times": numbers.times,
            "codes": codes,
            "signs": signs,
        }
    )
    return environment


def codes(text: str) -> Markup:
    """Text whose `parts in backticks` become code."""
    plain = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(plain))


def signs(text: str) -> str:
    """Comparison signs as print has them."""
    return text.replace("<=", "≤").replace(">=", "≥")


def shade(count: int, largest: int) -> float:
    """How dark a cell of a confusion matrix is, 0..1; the square root keeps rare confusions visible."""
    return round((count / largest) ** 0.5, 3) if largest else 0.0
