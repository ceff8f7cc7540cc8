"""Artefacts and their manifest, written whole or not at all."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from twinserve_host.processor import cpu_name
from twinserve_models.data import DIGITS, DatasetInfo
from twinserve_models.machine import isa
from twinserve_models.net import MEAN, PARAMETERS, STD
from twinserve_models.reduction import Reduction
from twinserve_models.staged import NewVariant, write_version
from twinserve_models.train import Training
from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion


@dataclass(frozen=True, slots=True)
class Artefact:
    """One variant, ready to be written: the file and what the manifest says of it."""

    name: str
    format: str
    data: bytes
    description: str
    engine: str
    quantization: dict[str, Any]
    parameter_bytes: int
    max_batch_size: int
    correct: int
    on_demand: bool = False
    device: str = "cpu"
    #: Empty: fp32, or int8 if it is quantised.
    precision: str = ""


def export_version(
    folder: Path,
    artefacts: list[Artefact],
    training: Training,
    info: DatasetInfo,
    reduced: Reduction | None = None,
    classes: tuple[str, ...] = DIGITS,
) -> ModelVersion:
    """Write the artefacts and their manifest into ``folder``, which is named ``<model>/<version>``.

    Raises:
        ArtefactError: the manifest breaks its schema.
        FileError: a file cannot be written.
    """
    digits = classes == DIGITS  # whose pictures MNIST's own preparation suits
    stated = {
        "description": f"{'Handwritten digits' if digits else info.name}: two convolutions, two linears.",
        "inputs": [
            {
                "name": "input",
                "datatypes": ["UINT8", "FP32"],
                "shape": [28, 28],
                "ranges": {"UINT8": [0, 255], "FP32": [0, 1]},
                "normalisation": {"scale": 255, "mean": [MEAN], "std": [STD]},
                "image": {"mode": "L", "foreground": "light_on_dark", "centre_of_mass": True}
                if digits
                else {"mode": "L", "foreground": "light_on_dark"},
            }
        ],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [10]}],
        "output": {"kind": "classifier", "scores": "probabilities", "labels": list(classes)},
        "dataset": info.to_json(),
        "training": {
            "epochs": training.recipe.epochs,
            "seed": training.seed,
            "losses": training.losses,
            "seconds": round(training.seconds, 1),
            "recipe": training.recipe.to_json(),
            **({"reduced": reduced.to_json()} if reduced else {}),
        },
        "runtime": {
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "isa": isa(),
            "cpu": cpu_name() or platform.machine(),
        },
    }
    variants = [_variant(artefact, info.test_images) for artefact in artefacts]
    return write_version(folder, stated, variants, str(folder / MANIFEST_NAME))


def _variant(artefact: Artefact, test_images: int) -> NewVariant:
    stated = {
        "device": artefact.device,
        "precision": artefact.precision or ("fp32" if artefact.quantization["method"] == "none" else "int8"),
        "description": artefact.description,
        "engine": artefact.engine,
        "parameters": PARAMETERS,
        "parameter_bytes": artefact.parameter_bytes,
        "max_batch_size": artefact.max_batch_size,
        "quantization": artefact.quantization,
        "accuracy": {"correct": artefact.correct, "total": test_images},
        **({"on_demand": True} if artefact.on_demand else {}),
    }
    return NewVariant(artefact.name, artefact.format, artefact.data, stated)
