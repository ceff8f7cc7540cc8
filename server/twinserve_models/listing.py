"""`twinserve models list` and `show`: what the manifests of a model folder say, without torch or matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from twinserve_host.sizes import kilobytes
from twinserve_models.reduction import Reduction
from twinserve_models.terminal import console, fail
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.artefact.repository import load_repository
from twinserve_server.errors import ArtefactError


def list_models(models: Path, *, as_json: bool = False) -> int:
    """0: listed; 1: there is nothing to list."""
    try:
        versions = load_repository(models)
    except ArtefactError as error:
        return fail(error.message)
    if as_json:
        print(json.dumps([_listed(version) for version in versions.values()], indent=1))
        return 0
    table = Table("model", "version", "variant", "KB", "accuracy", "quantised", "data set")
    for columns in (3, 4):
        table.columns[columns].justify = "right"
    for version in versions.values():
        accuracies = _accuracies(version)
        for variant in version.variants.values():
            table.add_row(
                version.model,
                version.version,
                variant.name,
                kilobytes(variant.bytes),
                accuracies.get(variant.name, ""),
                variant.quantization,
                dataset_line(version.dataset),
            )
    console.print(table)
    return 0


def show(models: Path, model: str, as_json: bool) -> int:
    """0: shown; 1: there is no such model."""
    try:
        version = find(models, model)
    except ArtefactError as error:
        return fail(error.message)
    if as_json:
        print(version.manifest_json)
        return 0
    manifest = json.loads(version.manifest_json)
    training, runtime = manifest.get("training", {}), manifest.get("runtime", {})
    said = f"[bold]{version.model}[/] version {version.version}"
    console.print(f"{said}: {escape(manifest['description'])}" if manifest.get("description") else said)
    console.print(f"data set: {dataset_line(version.dataset)}" if version.dataset else "data set not stated")
    if training:
        losses = ", ".join(f"{loss:.4f}" for loss in training["losses"])
        console.print(f"trained: {training['epochs']} epochs, seed {training['seed']}; loss by epoch {losses}")
    if reduced := training.get("reduced"):
        console.print(str(Reduction(**reduced)), style="yellow", highlight=False)
    if runtime:
        console.print(f"made with torch {runtime.get('torch')} on {runtime.get('cpu')} ({runtime.get('isa')})")
    variants, accuracies = version.variants.values(), _accuracies(version)
    table = Table("", *version.variants, title=escape(_signature(version)))
    table.add_row("KB", *(kilobytes(variant.bytes) for variant in variants))
    if accuracies:
        table.add_row("accuracy", *(accuracies.get(name, "") for name in version.variants))
    table.add_row("quantised", *(variant.quantization for variant in variants))
    table.add_row("engine", *(variant.quantized_engine for variant in variants))
    table.add_row("batch limit", *(str(variant.max_batch_size) for variant in variants))
    table.add_row("SHA-256", *(variant.sha256[:16] for variant in variants))
    console.print(table)
    return 0


def _signature(version: ModelVersion) -> str:
    if version.signature is None:
        return f"input {list(version.item_shape)} of {' or '.join(version.datatypes)}"
    inputs, outputs = (", ".join(map(str, specs)) for specs in (version.inputs, version.outputs))
    return f"{inputs} → {outputs}"


def find(models: Path, model: str) -> ModelVersion:
    """The version of ``model`` that would be served.

    Raises:
        ArtefactError: the folder holds no such model.
    """
    versions = load_repository(models)
    if model not in versions:
        raise ArtefactError(f"model folder {models}: has no model {model!r}; available: {', '.join(versions)}")
    return versions[model]


def dataset_line(dataset: dict[str, Any]) -> str:
    """Which images the figures stem from."""
    if not dataset:
        return "data set not stated"
    subset = "" if dataset["full"] else "; a SUBSET, not comparable with the full set"
    return f"{dataset['name']}, {dataset['train_images']:,} training and {dataset['test_images']:,} test images{subset}"


def _listed(version: ModelVersion) -> dict[str, object]:
    entries = json.loads(version.manifest_json)["variants"]
    return {
        "model": version.model,
        "version": version.version,
        "dataset": version.dataset,
        "variants": [
            {
                "name": variant.name,
                "bytes": variant.bytes,
                "sha256": variant.sha256,
                "quantization": variant.quantization,
                "accuracy": entries[variant.name].get("accuracy"),
            }
            for variant in version.variants.values()
        ],
    }


def _accuracies(version: ModelVersion) -> dict[str, str]:
    entries = json.loads(version.manifest_json)["variants"]
    return {
        name: f"{100 * entry['accuracy']['correct'] / entry['accuracy']['total']:.2f} %"
        for name, entry in entries.items()
        if "accuracy" in entry
    }
