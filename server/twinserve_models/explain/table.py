"""An explanation for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinserve_host.sizes import kilobytes
from twinserve_models.explain.findings import Explanation, LayerFinding
from twinserve_models.listing import dataset_line

# Three tables, so that each fits a terminal of 80 columns.
_NOISE = ("layer", "weights", "alone", "served", "values", "8 bits hold", "saturated")
_PRICE = ("layer", "lost alone", "regained", "FP32 costs")
_KERNELS = ("layer", "FP32 kernel", "INT8 kernel")


def show(found: Explanation, console: Console) -> None:
    """Print the layers, the sweep and the advice."""
    accuracy = ""
    if found.float_accuracy is not None and found.integer_accuracy is not None:
        accuracy = f"{found.float_accuracy:.2f} % and {found.integer_accuracy:.2f} % right, "
    console.print(
        f"[bold]{escape(found.model)}[/] version {escape(found.version)}, {found.float_variant} beside "
        f"{found.integer_variant}, {found.images:,} images: {accuracy}{found.agreement:.2f} % the same answer",
        highlight=False,
    )
    console.print(dataset_line(found.dataset), style="dim", highlight=False)
    noise = Table(*_NOISE, title="Noise: signal to noise in dB")
    price = Table(*_PRICE, title=f"Price: accuracy in points, time of a batch of {found.batch}")
    kernels = Table(*_KERNELS, title="What executed each layer")
    for layer in found.layers:
        noise.add_row(*map(escape, _noise(layer)))
        price.add_row(*map(escape, _price(layer)))
        kernels.add_row(*map(escape, (layer.name, layer.float_kernel, layer.integer_kernel)))
    for table in (noise, price, kernels):
        console.print(table)
    if found.sweep:
        sweep = Table("calibrator", "images", "right, %", "as FP32, %", "scores dB", title="Recalibrated activations")
        for row in found.sweep:
            right = "" if row.accuracy is None else f"{row.accuracy:.2f}"
            sweep.add_row(row.calibrator, f"{row.images:,}", right, f"{row.agreement:.2f}", f"{row.scores_db:.1f}")
        console.print(sweep)
    for sentence in found.advice:
        console.print(f"- {escape(sentence)}", highlight=False)


def _noise(layer: LayerFinding) -> list[str]:
    return [
        layer.name,
        _number(layer.weights_db, ".1f"),
        _number(layer.alone_db, ".1f"),
        f"{layer.served_db:.1f}",
        f"{layer.seen[0]:.3g}..{layer.seen[1]:.3g}",
        "" if layer.kept is None else f"{layer.kept[0]:.3g}..{layer.kept[1]:.3g}",
        _number(layer.saturated, ".2%"),
    ]


def _price(layer: LayerFinding) -> list[str]:
    more = f"{kilobytes(layer.float_bytes)} KB"
    if layer.float_us is not None and layer.integer_us is not None:
        more += f", {layer.float_us - layer.integer_us:+,.0f} µs"
    return [
        layer.name,
        _number(layer.lost_points, ".2f"),
        _number(layer.regained_points, ".2f"),
        more if layer.in_integers else "is in FP32",
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
