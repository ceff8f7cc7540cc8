"""``twinserve models``: build, add, quantize, list, show, bench, explain and import the artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Build, add, quantize, list, show, bench, explain and import the models.")

Models = Annotated[Path, typer.Option("--models", help="Model folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
VariantName = Annotated[str, typer.Option("--variant", help="The variant's name.")]
Classifier = Annotated[
    bool,
    typer.Option(
        "--classifier",
        help="Its one output holds scores of classes: answer labels and probabilities, as `twinserve compare` needs. "
        "(default: answer the tensors as they are)",
    ),
]


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


@app.command(
    "import-mar",
    epilog="""
Examples:

  twinserve models import-mar digits.mar --shape 1,28,28             models/digits/1 with the variant fp32

  twinserve models import-mar digits.mar --shape 28,28 --datatype UINT8 --name mnist2
""",
)
def import_mar(
    archive: Annotated[Path, typer.Argument(help="FILE.mar, made by torch-model-archiver from a TorchScript file.")],
    shape: Annotated[str, typer.Option(help="Shape of one item, without the batch.", metavar="N,N,...")],
    datatype: Annotated[str, typer.Option(help="Datatype that the file takes: FP32 or UINT8.")] = "FP32",
    name: Annotated[str, typer.Option(help="The model's name. (default: the archive's)")] = "",
    variant: VariantName = "fp32",
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Convert a TorchServe archive to a model folder; report what is not carried over."""
    from twinserve_models.importing.command import import_mar as run

    sides = shape.replace("x", ",").split(",")
    if not all(side.strip().isdigit() and int(side) > 0 for side in sides):
        raise typer.BadParameter(f"{shape!r} is not a shape; give one such as 3,224,224", param_hint="--shape")
    if datatype not in ("FP32", "UINT8"):
        raise typer.BadParameter(f"{datatype!r} is not FP32 or UINT8", param_hint="--datatype")
    raise typer.Exit(run(archive, models, [int(side) for side in sides], datatype, name, variant, as_json=as_json))


@app.command(
    "import-triton",
    epilog="""
Examples:

  twinserve models import-triton model_repository                    every model in it, with the variant fp32

  twinserve models import-triton model_repository --model digits_int8 --name digits --variant int8 --classifier
""",
)
def import_triton(
    repository: Annotated[Path, typer.Argument(help="The repository: REPOSITORY/<model>/config.pbtxt.")],
    only: Annotated[str, typer.Option("--model", help="Import this one. (default: all)")] = "",
    name: Annotated[str, typer.Option(help="The model's name here. (default: as it is there)")] = "",
    variant: VariantName = "fp32",
    classifier: Classifier = False,
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Make model folders of a Triton repository (PyTorch and ONNX Runtime backends); say what is not carried over."""
    from twinserve_models.importing.command import import_triton as run

    raise typer.Exit(run(repository, models, only, name, variant, scores=classifier, as_json=as_json))


@app.command(
    "import-mlserver",
    epilog="""
Examples:

  twinserve models import-mlserver models/digits/model-settings.json

  twinserve models import-mlserver models/digits --classifier --variant int8
""",
)
def import_mlserver(
    settings: Annotated[Path, typer.Argument(help="model-settings.json, or the folder that holds it.")],
    name: Annotated[str, typer.Option(help="The model's name here. (default: as it is there)")] = "",
    variant: VariantName = "fp32",
    classifier: Classifier = False,
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Make a model folder of an MLServer model whose file is TorchScript or ONNX; say what is not carried over."""
    from twinserve_models.importing.command import import_mlserver as run

    raise typer.Exit(run(settings, models, name, variant, scores=classifier, as_json=as_json))
