"""The manifest of a model that is added, and its files, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinserve_models.add.declare import Kind
from twinserve_models.add.trial import Tried, is_probability
from twinserve_models.staged import NewVariant, start, write_version
from twinserve_models.versions import next_version
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.errors import ArtefactError

#: The kernel of ONNX Runtime, and those of torch, that find the range of activations at run time.
DYNAMIC_KERNELS = ("DynamicQuantize", "MatMulInteger", "_dynamic")


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


def add_version(models: Path, wanted: Wanted, tried: list[Tried]) -> Path:
    """Write the next version of a model, once every file has started in it as a server would start it.

    Raises:
        ArtefactError: one does not start, or the manifest breaks its schema.
        FileError: a file or folder cannot be written.
    """
    variants = [_variant(one, wanted.max_batch_size) for one in tried]
    with next_version(models, wanted.model) as folder:
        version = write_version(folder, _stated(wanted, tried), variants, "manifest")
        for one in tried:
            try:
                start(version, one.candidate.name)
            except ArtefactError as error:
                raise ArtefactError(f"{one.candidate.path}: {error.message}") from None
    return models / wanted.model / folder.name


def _variant(tried: Tried, max_batch_size: int | None) -> NewVariant:
    candidate, facts = tried.candidate, tried.facts
    stated: dict[str, Any] = {}
    if candidate.precision:
        stated["precision"] = candidate.precision
    if candidate.engine != "none":
        stated["engine"] = candidate.engine
    if max_batch_size is not None:
        stated["max_batch_size"] = max_batch_size
    if facts is not None and facts.computes_in_integers:
        dynamic = any(word in name for name in facts.kernels for word in DYNAMIC_KERNELS)
        stated["quantization"] = {"method": "dynamic" if dynamic else "static"}
    elif candidate.precision in ("fp32", "fp16", "bf16"):
        stated["quantization"] = {"method": "none"}
    return NewVariant(candidate.name, candidate.runtime, candidate.data, stated)


def _stated(wanted: Wanted, tried: list[Tried]) -> dict[str, Any]:
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
        "inputs": [_input(spec) for spec in wanted.inputs],
        "outputs": [
            {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in wanted.outputs
        ],
        "output": output,
    }


def _input(spec: TensorSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": spec.name, "datatypes": [spec.datatype], "shape": list(spec.shape)}
    if spec.range is not None:
        entry["ranges"] = {spec.datatype: list(spec.range)}
    return entry
