"""Pictures of a benchmark: loss, size, accuracy and latency. Every one states the data set and its count of images."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twinserve_host.files import write_file
from twinserve_models.bench import BATCH_SIZES, Bench
from twinserve_models.listing import dataset_line

#: One colour per variant, distinguishable for colour-blind readers (Okabe & Ito).
COLOURS = {"fp32": "#0072B2", "int8": "#D55E00", "int8-dynamic": "#009E73"}
OTHER = "#7A7A7A"
mpl.rcParams["svg.hashsalt"] = "twinserve"


def draw_plots(bench: Bench, manifest_json: str, folder: Path) -> list[Path]:
    """Write each picture as SVG and PNG into ``folder``; return the paths.

    Raises:
        FileError: a picture cannot be written.
    """
    losses: list[float] = json.loads(manifest_json).get("training", {}).get("losses", [])
    pictures: dict[str, Callable[[Axes], None]] = {
        "size": lambda axes: _size(axes, bench),
        "accuracy": lambda axes: _accuracy(axes, bench),
        "latency": lambda axes: _latency(axes, bench),
    }
    if losses:
        pictures["loss"] = lambda axes: _loss(axes, losses)
    return [path for name, draw in pictures.items() for path in _save(name, draw, bench, folder)]


def _save(name: str, draw: Callable[[Axes], None], bench: Bench, folder: Path) -> list[Path]:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(dataset_line(bench.dataset), fontsize=8, color="#555555")
    paths = []
    for suffix in ("svg", "png"):
        path = folder / f"{name}.{suffix}"
        drawn = BytesIO()
        figure.savefig(drawn, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
        write_file(path, drawn.getvalue())
        paths.append(path)
    return paths


def _bars(axes: Axes, bench: Bench, values: list[float], form: str) -> None:
    names = [row.variant for row in bench.rows]
    bars = axes.bar(names, values, color=[COLOURS.get(name, OTHER) for name in names], width=0.6)
    axes.bar_label(bars, labels=[format(value, form) for value in values], padding=3)
    axes.margins(y=0.15)


def _size(axes: Axes, bench: Bench) -> None:
    _bars(axes, bench, [row.bytes / 1024 for row in bench.rows], ",.0f")
    axes.set_ylabel("artefact, KB")
    axes.set_title("Size")


def _accuracy(axes: Axes, bench: Bench) -> None:
    values = [row.accuracy for row in bench.rows]
    _bars(axes, bench, values, ".2f")
    # The differences of interest are hundredths, so the axis does not start at 0, and says so.
    low = min(values) - 0.5
    axes.set_ylim(low, min(100.0, max(values) + 0.3))
    axes.set_ylabel(f"right answers, % (axis from {low:.1f})")
    axes.set_title("Accuracy")


def _latency(axes: Axes, bench: Bench) -> None:
    width, names = 0.38, [row.variant for row in bench.rows]
    for offset, batch_size in zip((-width / 2, width / 2), BATCH_SIZES, strict=True):
        values = [1e6 * row.median_seconds(batch_size) / row.total for row in bench.rows]
        places = [index + offset for index in range(len(names))]
        colours = [COLOURS.get(name, OTHER) for name in names]
        bars = axes.bar(places, values, width, color=colours, alpha=1.0 if batch_size == 1 else 0.55)
        labels = [f"{value:,.0f}\nbatch {batch_size}" for value in values]
        axes.bar_label(bars, labels=labels, padding=2, fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.margins(y=0.2)
    axes.set_ylabel("µs an image")
    axes.set_title(f"Time an image, {bench.threads} thread{'s' if bench.threads > 1 else ''}, without a server")


def _loss(axes: Axes, losses: list[float]) -> None:
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, marker="o", color=OTHER)
    for epoch, loss in zip(epochs, losses, strict=True):
        axes.annotate(f"{loss:.3f}", (epoch, loss), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set_xticks(list(epochs))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean training loss")
    axes.set_title("Training loss")
