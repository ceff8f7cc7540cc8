"""Artefacts and their manifest, written whole or not at all."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from twinserve_host.files import write_file
from twinserve_host.processor import cpu_name
from twinserve_models.data import DIGITS, DatasetInfo
from twinserve_models.machine import isa
from twinserve_models.net import MEAN, PARAMETERS, STD
from twinserve_models.reduction import Reduction
from twinserve_models.train import Training
from twinserve_models.versions import SUFFIXES
from twinserve_server.artefact.files import sha256_of
from twinserve_server.artefact.manifest import MANIFEST_NAME
from twinserve_server.artefact.schema import SCHEMA_VERSION, validate_manifest


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
    #: Empty: fp32, or int8 where it is quantised.
    precision: str = ""


def write_version(
    folder: Path,
    model: str,
    artefacts: list[Artefact],
    training: Training,
    info: DatasetInfo,
    reduced: Reduction | None = None,
    classes: tuple[str, ...] = DIGITS,
) -> dict[str, Any]:
    """Write the artefacts and ``manifest.json`` into ``folder``, whose name is the version; return the manifest.

    Raises:
        ArtefactError: the manifest breaks its schema.
        FileError: a file cannot be written.
    """
    variants = {}
    for artefact in artefacts:
        path = folder / f"{artefact.name}{SUFFIXES[artefact.format]}"
        # Not by torch, which tells a full disk by a RuntimeError of many lines.
        write_file(path, artefact.data)
        variants[artefact.name] = {
            "file": path.name,
            "runtime": artefact.format,
            "device": artefact.device,
            "precision": artefact.precision or ("fp32" if artefact.quantization["method"] == "none" else "int8"),
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
            "description": artefact.description,
            "engine": artefact.engine,
            "parameters": PARAMETERS,
            "parameter_bytes": artefact.parameter_bytes,
            "max_batch_size": artefact.max_batch_size,
            "quantization": artefact.quantization,
            "accuracy": {"correct": artefact.correct, "total": info.test_images},
            **({"on_demand": True} if artefact.on_demand else {}),
        }
    digits = classes == DIGITS  # whose pictures MNIST's own preparation suits
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "version": folder.name,
        "description": f"{'Handwritten digits' if digits else info.name}: two convolutions, two linears.",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
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
        "variants": variants,
    }
    path = folder / MANIFEST_NAME
    validate_manifest(manifest, str(path))
    write_file(path, json.dumps(manifest, indent=2) + "\n")
    return manifest
