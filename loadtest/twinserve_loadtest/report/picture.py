"""One wide picture of a report: size, accuracy, latency and throughput of the variants side by side."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from twinserve_host.files import FileError, write_file
from twinserve_host.sizes import kilobytes
from twinserve_loadtest.report.inputs import ReportError
from twinserve_loadtest.report.numbers import loss, points, rate, significant, times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from twinserve_loadtest.report.document import Document, VariantRow

FORMATS = (".svg", ".png")
_WIDTH, _HEIGHT, _ROW_HEIGHT = 12.0, 1.9, 0.86
_BAR = 0.5
#: Length of a panel over its longest bar: the rest is for the label.
_ROOM = 1.7


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a picture; ``slots`` as on the page."""

    paper: str
    ink: str
    soft: str
    hair: str
    slots: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#ffffff", "#16202a", "#52606d", "#dbe1e6", ("#0072b2", "#d55e00", "#008f68", "#a8479a", "#8a6d00", "#5b6770")
    ),
    "dark": Theme(
        "#0f1519", "#e7ecef", "#9fadb8", "#2a353d", ("#5cb3ea", "#ff9248", "#45cfa2", "#e08fd4", "#d9bb4a", "#a9b5bf")
    ),
}


@dataclass(frozen=True, slots=True)
class _Row:
    """A variant, its colour, and the one that it is compared with (None: itself)."""

    figures: VariantRow
    colour: str
    baseline: VariantRow | None


def draw_picture(document: Document, path: Path, theme: str = "light") -> Path:
    """Draw the picture as SVG or PNG, as the name of the file says.

    Returns:
        ``path``.

    Raises:
        ReportError: another kind of file, an unknown theme, or the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise ReportError(f"{path}: a picture is an .svg or .png file")
    if theme not in THEMES:
        raise ReportError(f"unknown theme {theme!r}; the themes are {', '.join(THEMES)}")
    # Text as outlines: the same picture wherever it is shown. No date: the same bytes for the same results.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "twinserve", "font.family": ["DejaVu Sans"]}):
        figure = _draw(document, THEMES[theme])
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        drawn = BytesIO()
        figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=160, facecolor=THEMES[theme].paper, metadata=metadata)
    try:
        write_file(path, drawn.getvalue())
    except FileError as error:
        raise ReportError(f"the picture cannot be written: {error}") from None
    return path


def _draw(document: Document, theme: Theme) -> Figure:
    rows = _rows(document, theme)
    height = _HEIGHT + _ROW_HEIGHT * len(rows)
    figure = Figure(figsize=(_WIDTH, height))
    axes: Sequence[Axes] = figure.subplots(
        1,
        4,
        gridspec_kw={"left": 0.125, "right": 0.99, "top": 1 - 1.25 / height, "bottom": 0.55 / height, "wspace": 0.12},
    )
    _size(axes[0], rows, theme)
    (_loss if document.metric else _accuracy)(axes[1], rows, theme)
    _latency(axes[2], rows, theme)
    _throughput(axes[3], rows, theme)
    for panel, (title, detail) in zip(axes, _titles(document), strict=True):
        _dress(panel, title, detail, len(rows), theme)
    names = [row.figures.label for row in rows]
    axes[0].set_yticks(range(len(rows)), names, color=theme.ink, fontsize=11.5, fontweight="bold")
    figure.text(
        0.015, 1 - 0.36 / height, _headline(document), color=theme.ink, fontsize=15, fontweight="bold", va="center"
    )
    figure.text(0.015, 0.24 / height, _footer(document), color=theme.soft, fontsize=9.5, va="center")
    return figure


def _rows(document: Document, theme: Theme) -> list[_Row]:
    styles = {style.name: style for style in document.variants}
    measured = [row for row in document.table if row.variant is not None]
    baseline = next((row for row in measured if styles[str(row.variant)].role == "baseline"), None)
    return [
        _Row(row, theme.slots[styles[str(row.variant)].slot], None if row is baseline else baseline) for row in measured
    ]


def _headline(document: Document) -> str:
    lines = [
        f"{line.outcome}: {line.candidate} instead of {line.baseline}" for line in document.headlines if line.outcome
    ]
    return "  ·  ".join(lines) or f"{document.model}: full precision and quantised, behind one service"


def _footer(document: Document) -> str:
    return f"{document.dataset.line}  ·  {document.machine}"


def _titles(document: Document) -> tuple[tuple[str, str], ...]:
    loads = document.loads
    return (
        ("Size", "of the artefact"),
        (f"Loss, {document.metric}", "mean, with its 95 % interval; 0 is best")
        if document.metric
        else ("Accuracy", "with its 95 % interval; truncated axis"),
        ("Latency, p50 and p99", loads.latency_short or "not measured"),
        ("Throughput, images/s", loads.throughput_short or "not measured"),
    )


def _size(panel: Axes, rows: list[_Row], theme: Theme) -> None:
    values = [row.figures.size_bytes for row in rows]
    for place, row, value in _bars(panel, rows, values, theme):
        before = row.baseline.size_bytes if row.baseline else None
        gain = f"{times(before / value)} smaller" if before and before > value else ""
        _label(panel, value, place, f"{kilobytes(value)} KB", gain, theme)


def _throughput(panel: Axes, rows: list[_Row], theme: Theme) -> None:
    values = [row.figures.served.images_per_second.value for row in rows]
    for place, row, value in _bars(panel, rows, values, theme):
        before = row.baseline.served.images_per_second.value if row.baseline else None
        _label(panel, value, place, rate(value), times(value / before) if before else "", theme)
        found = row.figures.served.images_per_second
        if found.low is not None and found.high is not None:
            panel.plot([found.low, found.high], [place, place], color=theme.ink, lw=1.4, solid_capstyle="butt")


def _latency(panel: Axes, rows: list[_Row], theme: Theme) -> None:
    tails = [row.figures.served.p99_us or row.figures.served.p50_us for row in rows]
    for place, row, tail in _bars(panel, rows, tails, theme, alpha=0.38):
        served = row.figures.served
        if served.p50_us is not None:
            panel.add_patch(Rectangle((0, place - _BAR / 2), served.p50_us, _BAR, color=row.colour, lw=0))
        known = [us for us in (served.p50_us, served.p99_us) if us is not None]
        gain = ""
        if row.baseline:
            before = row.baseline.served
            pairs = ((before.p50_us, served.p50_us), (before.p99_us, served.p99_us))
            ratios = [times(first / second) for first, second in pairs if first and second]
            gain = " / ".join(ratios)
        _label(panel, tail, place, f"{' / '.join(significant(us / 1000) for us in known)} ms", gain, theme)


def _accuracy(panel: Axes, rows: list[_Row], theme: Theme) -> None:
    known = [row.figures.accuracy for row in rows if row.figures.accuracy.low is not None]
    low = min((share.low for share in known if share.low is not None), default=0.0)
    high = max((share.high for share in known if share.high is not None), default=1.0)
    panel.set_xlim(low - 0.08 * (high - low), low + (high - low) * _ROOM * 1.06)
    for place, row in enumerate(rows):
        share = row.figures.accuracy
        if share.value is None or share.low is None or share.high is None:
            _absent(panel, place, theme)
            continue
        panel.plot([share.low, share.high], [place, place], color=row.colour, lw=2.2, solid_capstyle="butt")
        panel.plot([share.value], [place], "o", color=row.colour, ms=9, mec=theme.paper, mew=1.2)
        before = row.baseline.accuracy.value if row.baseline else None
        gain = points(share.value - before) if before is not None else ""
        _label(panel, high, place, f"{100 * share.value:.2f} %", gain, theme)


def _loss(panel: Axes, rows: list[_Row], theme: Theme) -> None:
    for place, row, value in _bars(panel, rows, [row.figures.quality.value for row in rows], theme):
        _label(panel, value, place, loss(value), "", theme)
        found = row.figures.quality
        if found.low is not None and found.high is not None:
            panel.plot([found.low, found.high], [place, place], color=theme.ink, lw=1.4, solid_capstyle="butt")


def _bars(
    panel: Axes, rows: list[_Row], values: list[float | None], theme: Theme, alpha: float = 1.0
) -> list[tuple[int, _Row, float]]:
    """Draw a bar for each known value; returns place, row and value of those."""
    panel.set_xlim(0, _ROOM * max((value for value in values if value is not None), default=1.0) or 1.0)
    drawn = []
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value is None:
            _absent(panel, place, theme)
            continue
        panel.add_patch(Rectangle((0, place - _BAR / 2), value, _BAR, facecolor=row.colour, alpha=alpha, lw=0))
        drawn.append((place, row, value))
    return drawn


def _label(panel: Axes, at: float, place: int, text: str, gain: str, theme: Theme) -> None:
    low, high = panel.get_xlim()
    left = at + 0.02 * (high - low)
    up = 0.15 if gain else 0.0
    panel.text(left, place - up, text, va="center", ha="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    if gain:
        panel.text(left, place + 0.17, gain, va="center", ha="left", color=theme.soft, fontsize=9.5)


def _absent(panel: Axes, place: int, theme: Theme) -> None:
    low, high = panel.get_xlim()
    panel.text(low + 0.02 * (high - low), place, "not measured", va="center", color=theme.soft, fontsize=9.5)


def _dress(panel: Axes, title: str, detail: str, rows: int, theme: Theme) -> None:
    panel.set_ylim(rows - 0.5, -0.5)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_facecolor(theme.paper)
    panel.tick_params(length=0, pad=10)
    for side, spine in panel.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(theme.hair)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    panel.annotate(title, (0, 1), (0, 21), color=theme.ink, fontsize=11.5, fontweight="bold", **place)
    panel.annotate(detail, (0, 1), (0, 7), color=theme.soft, fontsize=9, **place)
