"""The trained network as an ONNX graph, and its static INT8 form: the same weights, the same calibration images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from twinserve_host.files import scratch_folder
from twinserve_models.net import Net
from twinserve_models.serving_net import folded_layers

OPSET: Final = 17
INPUT: Final = "input"
BATCH: Final = 256

FloatArray = npt.NDArray[np.float32]


def float_graph(net: Net) -> bytes:
    """``net`` as an ONNX file: float32 pixels of 0..1, N x 28 x 28, to probabilities, N x 10.

    The normalisation is folded into the first convolution, as in the TorchScript form.
    """
    layers = folded_layers(net)
    weights = {
        "conv1.weight": layers.conv1.weight,
        "conv1.bias": layers.conv1.bias,
        "conv2.weight": layers.conv2.weight,
        "conv2.bias": layers.conv2.bias,
        # ONNX flattens in the order used in training, so no permutation is needed.
        "fc1.weight": net.fc1.weight,
        "fc1.bias": net.fc1.bias,
        "fc2.weight": layers.fc2.weight,
        "fc2.bias": layers.fc2.bias,
    }
    initializers = [numpy_helper.from_array(_array(values), name) for name, values in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([1], np.int64), "channel"))
    node = helper.make_node
    nodes = [
        node("Unsqueeze", [INPUT, "channel"], ["x"]),
        node("Conv", ["x", "conv1.weight", "conv1.bias"], ["c1"], kernel_shape=[3, 3]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], kernel_shape=[3, 3]),
        node("Relu", ["c2"], ["r2"]),
        node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["g1"], transB=1),
        node("Relu", ["g1"], ["r3"]),
        node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["logits"], transB=1),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mnist",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def quantize_graph(data: bytes, calibration: npt.NDArray[np.uint8], *, reduce_range: bool) -> bytes:
    """The static INT8 form of an ONNX file (QDQ): weights per channel, activations per tensor.

    Args:
        data: of :func:`float_graph`.
        calibration: training images, uint8, N x 28 x 28.
        reduce_range: weights of 7 bits, for processors whose 8-bit products overflow (x86 without VNNI).
    """
    with scratch_folder("twinserve-") as folder:
        source, target = folder / "fp32.onnx", folder / "int8.onnx"
        source.write_bytes(data)
        quantize_static(
            source,
            target,
            _Images(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # Softmax stays in floats, as in the TorchScript form: probabilities of 8 bits would sum to anything.
            op_types_to_quantize=["Conv", "Gemm", "MaxPool", "Relu", "Flatten"],
        )
        return target.read_bytes()


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hands out the calibration images in batches."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self._batches: Iterator[FloatArray] = (
            (images[start : start + BATCH] / np.float32(255)).astype(np.float32)
            for start in range(0, len(images), BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _array(values: torch.Tensor | None) -> FloatArray:
    assert values is not None
    array: FloatArray = values.detach().contiguous().numpy()
    return array
