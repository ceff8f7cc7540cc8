"""``twinserve models import-mar``, ``import-triton`` and ``import-mlserver``: their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinserve_models.options import Json, Models

app = typer.Typer()

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
    name: Annotated[str, typer.Option(help="The model's name here. (default: unchanged)")] = "",
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
    name: Annotated[str, typer.Option(help="The model's name here. (default: unchanged)")] = "",
    variant: VariantName = "fp32",
    classifier: Classifier = False,
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Make a model folder of an MLServer model whose file is TorchScript or ONNX; say what is not carried over."""
    from twinserve_models.importing.command import import_mlserver as run

    raise typer.Exit(run(settings, models, name, variant, scores=classifier, as_json=as_json))
