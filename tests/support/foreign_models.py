"""Three models that are not MNIST's, made small: a regression of two inputs, 1,000 classes, and sequences of ids."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

IMAGE, CLASSES = (3, 32, 32), 1000


def regression_graph(scale: float = 1.0) -> bytes:
    """``y`` (N x 1): the sums of ``near`` (N x 4) and ``far`` (N x 2) together, times ``scale``."""
    nodes = [
        helper.make_node("Concat", ["near", "far"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axes"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "scale"], ["y"]),
    ]
    constants = {"axes": np.array([1], np.int64), "scale": np.array(scale, np.float32)}
    return graph(
        nodes, constants, {"near": ("FLOAT", ["N", 4]), "far": ("FLOAT", ["N", 2])}, {"y": ("FLOAT", ["N", 1])}
    )


def regression_script() -> bytes:
    """The same as TorchScript."""
    import torch

    class Regression(torch.nn.Module):
        def forward(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
            return near.sum(1, keepdim=True) + far.sum(1, keepdim=True)

    return bytes(torch.jit.script(Regression().eval()).save_to_buffer())


def image_graph() -> bytes:
    """Logits of 1,000 classes: the first 1,000 values of the image, times 20."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Slice", ["flat", "zero", "end", "one"], ["first"]),
        helper.make_node("Mul", ["first", "twenty"], ["scores"]),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "end": np.array([CLASSES], np.int64),
        "one": np.array([1], np.int64),
        "twenty": np.array(20, np.float32),
    }
    return graph(nodes, constants, {"image": ("FLOAT", ["N", *IMAGE])}, {"scores": ("FLOAT", ["N", CLASSES])})


def sequence_graph() -> bytes:
    """``states`` (N x length, floats): twice the ids; ``total`` (N): their sum."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "two"], ["states"]),
        helper.make_node("ReduceSum", ["ids", "axes"], ["total"], keepdims=0),
    ]
    constants = {"two": np.array(2, np.float32), "axes": np.array([1], np.int64)}
    outputs = {"states": ("FLOAT", ["N", "length"]), "total": ("INT64", ["N"])}
    return graph(nodes, constants, {"ids": ("INT64", ["N", "length"])}, outputs)


def make_foreign_models(root: Path) -> Path:
    """Write ``regression``, ``wide`` and ``sequence`` below ``root``; return it."""
    _write(
        root,
        "regression",
        inputs=[
            {"name": "near", "datatypes": ["FP32"], "shape": [4]},
            {"name": "far", "datatypes": ["FP32"], "shape": [2], "ranges": {"FP32": [-10, 10]}},
        ],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [1]}],
        output={"kind": "tensors", "metric": "mse"},
        files={"fp32": regression_script(), "int8": regression_graph(1.01)},
    )
    _write(
        root,
        "wide",
        inputs=[{"name": "image", "datatypes": ["FP32"], "shape": list(IMAGE), "ranges": {"FP32": [0, 1]}}],
        outputs=[{"name": "scores", "datatype": "FP32", "shape": [CLASSES]}],
        output={"kind": "classifier", "scores": "logits"},
        files={"fp32": image_graph()},
    )
    _write(
        root,
        "sequence",
        inputs=[{"name": "ids", "datatypes": ["INT64"], "shape": [-1], "ranges": {"INT64": [0, 99]}}],
        outputs=[
            {"name": "states", "datatype": "FP32", "shape": [-1]},
            {"name": "total", "datatype": "INT64", "shape": []},
        ],
        output={"kind": "tensors", "metric": "cosine"},
        files={"fp32": sequence_graph()},
    )
    return root


def _write(root: Path, model: str, files: dict[str, bytes], **fields: Any) -> None:
    folder = root / model / "1"
    folder.mkdir(parents=True)
    variants = {}
    for name, data in files.items():
        runtime = "torchscript" if data[:2] == b"PK" else "onnx"
        path = folder / f"{name}.{runtime}"
        path.write_bytes(data)
        variants[name] = {
            "file": path.name,
            "runtime": runtime,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "max_batch_size": 8,
        }
    manifest = {"schema_version": 2, "model": model, "version": "1", **fields, "variants": variants}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def graph(
    nodes: list[Any],
    constants: dict[str, Any],
    inputs: dict[str, tuple[str, list[Any]]],
    outputs: dict[str, tuple[str, list[Any]]],
) -> bytes:
    """An ONNX file: nodes, constants, and inputs and outputs by name as (type, shape)."""

    def tensors(named: dict[str, tuple[str, list[Any]]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape)
            for name, (kind, shape) in named.items()
        ]

    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "foreign", tensors(inputs), tensors(outputs), held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
