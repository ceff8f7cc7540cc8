"""``twinserve models``: build, add, quantize, list, show, bench, explain and import the artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinserve_models.importing.cli import app as imports
from twinserve_models.options import Json, Models

app = typer.Typer(no_args_is_help=True, help="Build, add, quantize, list, show, bench, explain and import the models.")


@app.command(
    epilog="""
Examples:

  twinserve models build                           full MNIST if available, else a small subset; says which

  twinserve models build --data ~/mnist            a folder with MNIST (or set MNIST_ROOT)

  twinserve models build --name fashion --data DIR your own images: IDX files, .npz, <class>/*.png, torchvision:NAME

  twinserve models build --force --seed 7          rebuild

  twinserve models build --full                    train on everything, however slow the machine is

  twinserve models build --devices cuda:0          also fp32-cuda, fp16-cuda, bf16-cuda, for a GPU
"""
)
def build(
    models: Models = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Folder with MNIST; with --name, your own images.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for weights, order, shifts and dropout.")] = 0,
    force: Annotated[bool, typer.Option(help="Replace an existing version.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="All images and epochs. (default: what this machine trains in about four minutes)"),
    ] = False,
    name: Annotated[
        str, typer.Option(help="Model; another name than mnist is for images of your own, 28 x 28, grey, ten classes.")
    ] = "mnist",
    labels: Annotated[
        str, typer.Option(help="Names of your ten classes, separated by commas.", metavar="A,B,...")
    ] = "",
    devices: Annotated[
        str, typer.Option(help="Also fp32, fp16 and bf16 of the same weights for these devices.", metavar="cuda:0,...")
    ] = "",
    as_json: Json = False,
) -> None:
    """Train the network once and write its three variants: fp32, int8, int8-dynamic."""
    from twinserve_models.commands import build as run

    raise typer.Exit(
        run(models, data, seed, force, full=full, model=name, labels=labels, devices=devices, as_json=as_json)
    )


@app.command(
    epilog="""
Examples:

  twinserve models add birds --fp32 birds.pt --int8 birds.onnx --input image:3x32x32:FP32 --output scores:classifier

  twinserve models add words --fp32 words.onnx --input ids:?:INT64:0..30521 --output states:tensor --metric cosine

  twinserve models add price --fp32 a.onnx --int8 b.onnx --input size:4:FP32 --input place:2:FP32 --output y:tensor

An input is NAME:SHAPE:DATATYPE[:LOW..HIGH], an output NAME[:SHAPE:DATATYPE]:KIND, KIND being classifier (or logits,
probabilities) or tensor. A shape is that of one item; ? is a size that may differ from request to request.
"""
)
def add(
    name: Annotated[str, typer.Argument(help="Model; an existing one gets its next version.")],
    fp32: Annotated[Path | None, typer.Option(help="Variant fp32: TorchScript or ONNX.", metavar="FILE")] = None,
    int8: Annotated[Path | None, typer.Option(help="Variant int8: TorchScript or ONNX.", metavar="FILE")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Another variant.", metavar="NAME=FILE")] = None,
    input_: Annotated[list[str] | None, typer.Option("--input", help="In forward()'s order.", metavar="…")] = None,
    output: Annotated[list[str] | None, typer.Option(help="In forward()'s order.", metavar="…")] = None,
    labels: Annotated[str, typer.Option(help="Class names, or a file with them.", metavar="A,B,...")] = "",
    metric: Annotated[
        str, typer.Option(help="Of tensors: mse, max_abs, cosine, top1 or module:function. (default: mse)")
    ] = "",
    max_batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Most items per forward pass. (default: 64)")
    ] = None,
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Add your own model: try its files, report what does not fit, write its manifest.

    Exit code 0: added; 1: something does not fit; 2: an option is wrong.
    """
    from twinserve_models.add.command import Asked, run

    files = {name: path for name, path in (("fp32", fp32), ("int8", int8)) if path is not None}
    for text in variant or []:
        key, _, path = text.partition("=")
        if not key or not path or key in files:
            raise typer.BadParameter(f"{text!r} is not NAME=FILE with a new name", param_hint="--variant")
        files[key] = Path(path)
    asked = Asked(name, files, input_ or [], output or [], labels, metric, max_batch_size, models)
    raise typer.Exit(run(asked, as_json=as_json))


@app.command(
    epilog="""
Examples:

  twinserve models quantize words --calibration words.npz                     static: int8, of its ONNX variant

  twinserve models quantize words --dynamic                                   int8-dynamic: ranges found batch by batch

  twinserve models quantize birds --calibration birds.npz --from nets:birds     of the module that it makes
"""
)
def quantize(
    name: Annotated[str, typer.Argument(help="Model.")],
    calibration: Annotated[
        Path | None, typer.Option(help=".npz with an array named after each input.", metavar="FILE")
    ] = None,
    static: Annotated[
        bool, typer.Option("--static/--dynamic", help="Ranges from calibration, or computed per batch.")
    ] = True,
    function: Annotated[
        str,
        typer.Option(
            "--from", help="Function that returns the eager module. (default: an ONNX file)", metavar="MODULE:FUNCTION"
        ),
    ] = "",
    source: Annotated[str, typer.Option("--of", help="Variant in floats. (default: the first)")] = "",
    variant: Annotated[str, typer.Option(help="The new one's name. (default: int8, or int8-dynamic)")] = "",
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Add an INT8 variant to a model: of its ONNX file, or of an eager module of your own.

    Exit code 0: added; 1: it cannot be.
    """
    from twinserve_models.quantizing.command import Order, run

    raise typer.Exit(run(Order(name, calibration, static, source, function, variant, models), as_json=as_json))


@app.command(name="list")
def list_(models: Models = Path("models"), as_json: Json = False) -> None:
    """List every model, version and variant."""
    from twinserve_models.listing import list_models

    raise typer.Exit(list_models(models, as_json=as_json))


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Model.")] = "mnist",
    models: Models = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="The manifest itself.")] = False,
) -> None:
    """Show what the manifest of a model says: data set, training, quantisation, accuracy."""
    from twinserve_models.listing import show as run

    raise typer.Exit(run(models, model, as_json))


@app.command(
    epilog="""
Examples:

  twinserve models bench                           the published table for every variant, beside its own figures

  twinserve models bench --plots reports/plots     and its pictures (SVG and PNG)

  twinserve models bench --threads 2 --json bench.json
"""
)
def bench(
    model: Annotated[str, typer.Argument(help="Model.")] = "mnist",
    models: Models = Path("models"),
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads per forward pass.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often each time is measured.")] = 3,
    images: Annotated[int, typer.Option(min=0, help="Use only the first N test images; 0: all.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw the pictures into this folder.")] = None,
) -> None:
    """Size, accuracy and the time for the whole test set, at batch 1 and 64, without a server."""
    from twinserve_models.commands import bench as run

    raise typer.Exit(run(models, model, threads, repeats, images, json_file, plots))


@app.command(
    epilog="""
Examples:

  twinserve models explain mnist fp32 int8                       a table by layer, and what to do

  twinserve models explain mnist fp32 int8 --picture layers.svg --json layers.json

  twinserve models explain mnist fp32 int8 --images 0            the whole test set
"""
)
def explain(
    model: Annotated[str, typer.Argument(help="Model.")],
    floats: Annotated[str, typer.Argument(help="Variant in floats.")] = "fp32",
    integers: Annotated[str, typer.Argument(help="Variant in 8-bit integers.")] = "int8",
    models: Models = Path("models"),
    images: Annotated[int, typer.Option(min=0, help="Use only the first N test images; 0: all.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw them here (.svg or .png).")] = None,
) -> None:
    """Where a quantised variant loses accuracy: noise, range and price of each layer, and what calibration changes."""
    from twinserve_models.commands import explain as run

    raise typer.Exit(run(models, model, (floats, integers), images, json_file, picture))


app.add_typer(imports)
