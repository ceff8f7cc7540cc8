"""One forward pass of a file whose form does not say everything: how many classes, probabilities or logits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from twinserve_models.importing.frame import ImportModelError
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.signature import FREE, Signature, TensorSpec
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.model.runtime import find_runtime
from twinserve_server.model.tensor_forward import FREE_SIZE


def runtime_of(data: bytes, where: str) -> str:
    """What runs a file: a TorchScript file is a ZIP archive, and of the rest only ONNX is served.

    Raises:
        ImportModelError: it is a pickle, which is code of its own, or empty.
    """
    if data[:2] == b"PK":
        return "torchscript"
    if not data or data[:1] == b"\x80":
        raise ImportModelError(
            f"{where}: is neither TorchScript nor ONNX; write one of them with torch.jit.save or torch.onnx.export "
            "(scikit-learn: skl2onnx), and import that"
        )
    return "onnx"


def argument_names(data: bytes) -> list[str]:
    """What a TorchScript file calls the arguments of its forward(); empty: it cannot be loaded."""
    try:
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")
        return [argument.name for argument in module.forward.schema.arguments[1:]]
    except (RuntimeError, AttributeError):
        return []


def classifier(data: bytes, runtime: str, inputs: list[dict[str, Any]], output: str, where: str) -> tuple[int, str]:
    """How many classes the artefact tells apart, and whether its scores are ``probabilities`` or ``logits``.

    Args:
        data: the file.
        runtime: torchscript or onnx.
        inputs: as the manifest has them.
        output: the name of its one output.
        where: the file, for messages.

    Raises:
        ImportModelError: the file cannot be loaded, does not run on such items, or returns no scores.
    """
    specs = tuple(TensorSpec(entry["name"], entry["datatypes"][0], tuple(entry["shape"])) for entry in inputs)
    signature = Signature(specs, (TensorSpec(output, "FP32", (FREE,)),))
    items = {
        spec.name: np.ones((2, *(FREE_SIZE if size == FREE else size for size in spec.shape)), DTYPES[spec.datatype])
        for spec in specs
    }
    variant = Variant("trial", where, "", len(data), runtime)
    try:
        loaded = find_runtime(variant)(variant, 1)
        loaded.load(data, signature)
        (rows,) = loaded.run_named(items, [output])
    except ArtefactError as error:
        raise ImportModelError(f"{where}: {error.message}") from None
    except InferenceError as error:
        taken = ", ".join(f"{spec.datatype} items of shape {list(spec.shape)}" for spec in specs)
        raise ImportModelError(
            f"{where}: does not run on {taken} ({error.message}); check the shapes and datatypes"
        ) from None
    if rows.ndim != 2 or len(rows) != 2 or rows.shape[1] < 2 or rows.dtype.kind != "f":
        raise ImportModelError(
            f"{where}: returns {rows.dtype} {list(rows.shape)} for two items; a classifier returns floating-point "
            "numbers, [2, classes]"
        )
    return rows.shape[1], "probabilities" if _sum_to_one(rows) else "logits"


def _sum_to_one(rows: npt.NDArray[Any]) -> bool:
    return bool((rows >= 0).all()) and bool(np.allclose(rows.astype(np.float64).sum(1), 1, atol=1e-3))
