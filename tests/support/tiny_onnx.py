"""The tiny pair's network as an ONNX file: items of 4 x 4 floats; the class is the place of the brightest of five."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from support.tiny_model import CLASSES, ITEM


def tiny_graph(outputs: int = 1, input_type: int = TensorProto.FLOAT) -> bytes:
    """The file; with two ``outputs`` or another type it is one that cannot be served."""
    pick = np.zeros((16, CLASSES), np.float32)
    pick[np.arange(CLASSES), np.arange(CLASSES)] = 20
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "pick"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    names = ["probabilities", "logits"][:outputs]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", input_type, ["N", *ITEM])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", CLASSES]) for name in names],
        [numpy_helper.from_array(pick, "pick")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def add_onnx(version: Path, name: str, data: bytes, **fields: Any) -> None:
    """Put ``data`` into a version's folder as a variant of that name."""
    file = version / f"{name}.onnx"
    file.write_bytes(data)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["variants"][name] = {
        "file": file.name,
        "format": "onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        **fields,
    }
    (version / "manifest.json").write_text(json.dumps(manifest))
