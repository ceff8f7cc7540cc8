"""The manifest of a model that is added, and its files, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twinserve_host.files import write_file
from twinserve_models.add.declare import Kind
from twinserve_models.add.trial import Tried, is_probability
from twinserve_models.versions import next_version
from twinserve_server.artefact.files import sha256_of
from twinserve_server.artefact.manifest import MANIFEST_NAME, read_manifest
from twinserve_server.artefact.schema import SCHEMA_VERSION, validate_manifest
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.errors import ArtefactError
from twinserve_server.model.tensor_forward import forward_of

#: The kernel of ONNX Runtime, and those of torch, that find the range of activations at run time.
DYNAMIC_KERNELS = ("DynamicQuantize", "MatMulInteger", "_dynamic")
#: The last trial is the server's own start, with so many items at most.
TRIAL_BATCH = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as it is declared and was found; ``kind`` is its only output's, or ``tensor``."""

    model: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    kind: Kind
    metric: str
    labels: list[str]
    max_batch_size: int | None


def write_version(models: Path, wanted: Wanted, tried: list[Tried]) -> Path:
    """Write the next version of a model, once every file has started in it as a server would start it.

    Raises:
        ArtefactError: one does not start, or the manifest breaks its schema.
        FileError: a file or folder cannot be written.
    """
    with next_version(models, wanted.model) as folder:
        for one in tried:
            write_file(folder / one.candidate.file, one.candidate.data)
        manifest = _manifest(folder, wanted, tried)
        validate_manifest(manifest, "manifest")
        write_file(folder / MANIFEST_NAME, json.dumps(manifest, indent=2) + "\n")
        version = read_manifest(folder)
        forward = forward_of(version)
        for one in tried:
            variant = version.variants[one.candidate.name]
            try:
                forward(version, variant, 1, min(TRIAL_BATCH, variant.max_batch_size))
            except ArtefactError as error:
                raise ArtefactError(error.message.replace(variant.path, str(one.candidate.path))) from None
    return models / wanted.model / folder.name


def variant_entry(path: Path, tried: Tried, max_batch_size: int | None) -> dict[str, Any]:
    """What the manifest says of a file."""
    candidate, kernels = tried.candidate, tried.facts.kernels if tried.facts is not None else {}
    entry: dict[str, Any] = {
        "file": path.name,
        "runtime": candidate.runtime,
        "device": "cpu",
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
    }
    if candidate.precision:
        entry["precision"] = candidate.precision
    if candidate.engine != "none":
        entry["engine"] = candidate.engine
    if max_batch_size is not None:
        entry["max_batch_size"] = max_batch_size
    if tried.facts is not None and tried.facts.computes_in_integers:
        dynamic = any(word in name for name in kernels for word in DYNAMIC_KERNELS)
        entry["quantization"] = {"method": "dynamic" if dynamic else "static"}
    elif candidate.precision in ("fp32", "fp16", "bf16"):
        entry["quantization"] = {"method": "none"}
    return entry


def _manifest(folder: Path, wanted: Wanted, tried: list[Tried]) -> dict[str, Any]:
    if wanted.kind == "tensor":
        output: dict[str, Any] = {"kind": "tensors", "metric": wanted.metric}
    else:
        scores = wanted.kind
        if scores == "classifier":
            scores = "probabilities" if all(is_probability(one.outputs[0]) for one in tried) else "logits"
        output = {"kind": "classifier", "scores": scores}
        if wanted.labels:
            output["labels"] = wanted.labels
    return {
        "schema_version": SCHEMA_VERSION,
        "model": wanted.model,
        "version": folder.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_input(spec) for spec in wanted.inputs],
        "outputs": [
            {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in wanted.outputs
        ],
        "output": output,
        "variants": {
            one.candidate.name: variant_entry(folder / one.candidate.file, one, wanted.max_batch_size) for one in tried
        },
    }


def _input(spec: TensorSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": spec.name, "datatypes": [spec.datatype], "shape": list(spec.shape)}
    if spec.range is not None:
        entry["ranges"] = {spec.datatype: list(spec.range)}
    return entry
