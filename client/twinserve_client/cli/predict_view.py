"""How ``twinserve predict`` prints predictions: bars for people, one JSON object for programs."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from twinserve_client.cli.predict_entry import as_entry
from twinserve_client.types import Prediction, Timing

BAR_WIDTH: Final = 16
#: From black to white in a terminal, two characters per pixel.
SHADES: Final = " ░▒▓█"


def as_document(files: list[str], predictions: list[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
    """Every answer with all its probabilities, as JSON-ready objects; times in seconds."""
    return {
        "answers": [
            {
                **as_entry(prediction),
                "images": [
                    {
                        "file": file,
                        "class": int(index),
                        "label": labels[index],
                        "probability": float(row[index]),
                        "probabilities": dict(zip(labels, map(float, row), strict=True)),
                    }
                    for file, index, row in zip(files, prediction.classes, prediction.probabilities, strict=True)
                ],
            }
            for prediction in predictions
        ]
    }


def print_answers(
    files: list[str], predictions: list[Prediction], labels: tuple[str, ...], *, top: int, seconds: float
) -> None:
    """Print one panel per file with the variants side by side, then where the time went."""
    console = Console(highlight=False)
    for row, file in enumerate(files):
        columns = Table.grid(padding=(0, 3))
        columns.add_row(*(_bars(prediction, row, labels, top) for prediction in predictions))
        answers = {labels[prediction.classes[row]] for prediction in predictions}
        verdict = " or ".join(sorted(answers))
        title = Text.assemble(
            (PurePath(file).name, "dim"), "  ", (verdict, "bold green" if len(answers) == 1 else "bold red")
        )
        console.print(Panel(columns, title=title, title_align="left", expand=False))
    if len(predictions) > 1:
        console.print(_agreement(predictions))
    for prediction in predictions:
        console.print(_origin(prediction))
    console.print(Text(f"{1e3 * seconds:.1f} ms round trip", "dim"))


def print_items(files: list[str], items: npt.NDArray[np.uint8]) -> None:
    """Print each item in shades of grey, as the model sees it."""
    console = Console(highlight=False)
    for file, item in zip(files, items, strict=True):
        grey = item if item.ndim == 2 else item.mean(axis=int(np.argmin(item.shape)))
        shade = np.array(list(SHADES))[(grey.astype(int) * len(SHADES)) // 256]
        picture = "\n".join("".join(pixel * 2 for pixel in line) for line in shade)
        console.print(
            Panel(Text(picture, no_wrap=True), title=f"{PurePath(file).name} as the model sees it", expand=False)
        )


def _bars(prediction: Prediction, row: int, labels: tuple[str, ...], top: int) -> Group:
    probabilities = prediction.probabilities[row]
    table = Table.grid(padding=(0, 1))
    for rank, index in enumerate(np.argsort(-probabilities)[:top]):
        style = "bold" if rank == 0 else "dim"
        table.add_row(
            Text(labels[index], style),
            Text(f"{100 * probabilities[index]:6.2f} %", style),
            Text("█" * round(BAR_WIDTH * float(probabilities[index])), "green" if rank == 0 else "dim"),
        )
    return Group(Text(prediction.variant, "cyan"), table)


def _agreement(predictions: list[Prediction]) -> Text:
    first = predictions[0]
    parts = []
    for other in predictions[1:]:
        flips = int(np.count_nonzero(first.classes != other.classes))
        largest = float(np.abs(first.probabilities - other.probabilities).max())
        parts.append(
            f"{other.variant} vs {first.variant}: {flips} of {len(first)} answers differ, "
            f"probabilities by at most {100 * largest:.2f} points"
        )
    return Text("\n".join(parts))


def _origin(prediction: Prediction) -> Text:
    chosen = {"named": "named", "split": "chosen by the router", "unspecified": "route unknown"}[prediction.route]
    return Text.assemble(
        (prediction.variant, "cyan"),
        f" ({chosen}) · {prediction.model} version {prediction.version} · sha256 {prediction.sha256[:12]} · ",
        _split(prediction.timing),
    )


def _split(timing: Timing) -> str:
    parts = [
        f"{name} {1e3 * seconds:.2f}"
        for name, seconds in (
            ("queue", timing.queue),
            ("transfer", timing.transfer),
            ("preprocess", timing.preprocess),
            ("inference", timing.inference),
            ("postprocess", timing.postprocess),
        )
        if seconds > 0
    ]
    return f"server {1e3 * timing.total:.2f} ms ({', '.join(parts)}; batch of {timing.batch_size})"
