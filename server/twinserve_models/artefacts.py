"""The variants of one trained network, made for each runtime, described and evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from twinserve_models.data import Dataset
from twinserve_models.engines import choose_recipe
from twinserve_models.evaluate import count_correct, onnx_forward
from twinserve_models.export import Artefact
from twinserve_models.net import PARAMETERS, Net
from twinserve_models.onnx_graph import float_graph, quantize_graph
from twinserve_models.quantize import CALIBRATION_IMAGES, default_recipes, quantize_dynamic, quantize_static
from twinserve_models.serving_net import float_net

LAYERS = ["conv1", "conv2", "fc1", "fc2"]


def make_artefacts(net: Net, dataset: Dataset) -> list[Artefact]:
    """``fp32``, ``int8`` and ``int8-dynamic`` for TorchScript; ``fp32-ort`` and ``int8-ort`` for ONNX Runtime.

    What is static was calibrated on the same training images.
    """
    calibration = torch.from_numpy(dataset.train_images[:CALIBRATION_IMAGES])
    recipe, tried = choose_recipe(net, calibration, default_recipes())
    static: dict[str, Any] = {
        "method": "static",
        "dtype": "qint8",
        "layers": LAYERS,
        "weights": "per channel, symmetric",
        "activations": "per tensor, affine, quint8",
        "reduce_range": recipe.reduce_range,
        "calibration_images": len(calibration),
        "observer": "histogram",
        **({"tried": tried} if tried else {}),
    }
    dynamic: dict[str, Any] = {
        "method": "dynamic",
        "dtype": "qint8",
        "layers": LAYERS[2:],
        "weights": "per tensor, symmetric",
        "activations": "per tensor, chosen for each batch",
    }
    plan = [
        ("fp32", float_net(net), "32-bit floating point", "none", {"method": "none"}, 4, 32),
        ("int8", quantize_static(net, calibration, recipe), "8-bit integers throughout", recipe.engine, static, 1, 64),
        ("int8-dynamic", quantize_dynamic(net, recipe.engine), "8-bit linears", recipe.engine, dynamic, 1, 32),
    ]
    made = []
    for name, module, description, engine, quantization, width, limit in plan:
        # Not frozen: freezing would undo the packing, which is repeated when the file is loaded.
        scripted = torch.jit.script(module.eval())
        correct = count_correct(scripted, dataset.test_images, dataset.test_labels)
        made.append(
            Artefact(
                name,
                "torchscript",
                scripted.save_to_buffer(),
                description,
                engine,
                quantization,
                PARAMETERS * width,
                limit,
                correct,
            )
        )
    return made + _onnx_artefacts(net, dataset, calibration.numpy(), static)


def _onnx_artefacts(
    net: Net, dataset: Dataset, calibration: npt.NDArray[np.uint8], static: dict[str, Any]
) -> list[Artefact]:
    floats = float_graph(net)
    integers = quantize_graph(floats, calibration, reduce_range=static["reduce_range"])
    quantized = {**static, "observer": "min-max"}
    plan = [
        ("fp32-ort", floats, "32-bit floating point, ONNX Runtime", {"method": "none"}, 4, 32),
        ("int8-ort", integers, "8-bit integers throughout, ONNX Runtime", quantized, 1, 64),
    ]
    return [
        Artefact(
            name,
            "onnx",
            data,
            description,
            "none",
            quantization,
            PARAMETERS * width,
            limit,
            count_correct(onnx_forward(data), dataset.test_images, dataset.test_labels),
            on_demand=True,
        )
        for name, data, description, quantization, width, limit in plan
    ]
