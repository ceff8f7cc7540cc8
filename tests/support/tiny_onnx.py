"""The tiny models as ONNX files, which take floats of 0..1."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from support.tiny_model import CLASSES, ITEM, POISON, Recipe


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


def graph_of(recipe: Recipe, item: tuple[int, ...] = ITEM) -> bytes:
    """The file of one variant."""
    pick = np.zeros((int(np.prod(item)), CLASSES), np.float32)
    pick[np.arange(CLASSES), [1, 0, 2, 3, 4] if recipe.swap else np.arange(CLASSES)] = recipe.scale
    constants: dict[str, Any] = {"pick": pick}
    logits = "logits"
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "pick"], [logits]),
    ]
    if recipe.rounds:
        constants |= {"unit": np.eye(256, dtype=np.float32), "nought": np.zeros((1, 1), np.float32)}
        # The least pixel, times nought: what depends on the input is not computed in advance.
        nodes.append(helper.make_node("ReduceMin", ["flat"], ["least"], keepdims=1))
        nodes.append(helper.make_node("Mul", ["least", "nought"], ["nothing"]))
        nodes.append(helper.make_node("Add", ["unit", "nothing"], ["work0"]))
        nodes += [
            helper.make_node("MatMul", [f"work{done}", "unit"], [f"work{done + 1}"]) for done in range(recipe.rounds)
        ]
        constants |= {"row": np.array(0), "column": np.array(1)}
        nodes.append(helper.make_node("Gather", [f"work{recipe.rounds}", "row"], ["line"], axis=0))
        nodes.append(helper.make_node("Gather", ["line", "column"], ["zero"], axis=0))
        nodes.append(helper.make_node("Add", [logits, "zero"], ["worked"]))
        logits = "worked"
    if recipe.fragile:
        # To look up the second of one number fails.
        constants |= {
            "last": np.array(15),
            "limit": np.array((POISON - 0.5) / 255, np.float32),
            "one": np.zeros(1, np.float32),
        }
        nodes.append(helper.make_node("Gather", ["flat", "last"], ["corner"], axis=1))
        nodes.append(helper.make_node("ReduceMax", ["corner"], ["brightest"], keepdims=0))
        nodes.append(helper.make_node("Greater", ["brightest", "limit"], ["poisoned"]))
        nodes.append(helper.make_node("Cast", ["poisoned"], ["place"], to=TensorProto.INT64))
        nodes.append(helper.make_node("Gather", ["one", "place"], ["zero"], axis=0))
        nodes.append(helper.make_node("Add", [logits, "zero"], ["survived"]))
        logits = "survived"
    nodes.append(helper.make_node("Softmax", [logits], ["probabilities"]))
    return _file(nodes, item, constants)


def _file(nodes: list[Any], item: tuple[int, ...], constants: dict[str, Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", *item])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
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
