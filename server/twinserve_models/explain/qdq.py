"""Reads the layers of two ONNX graphs, one in floats and one in 8 bits in the QDQ form.

In the QDQ form every 8-bit tensor is a QuantizeLinear and a DequantizeLinear around operators in floats, which ONNX
Runtime fuses into integer kernels when it loads the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from twinserve_models.explain.twins import Array, Grid, Layer, NoTwinsError, Quantisation

#: Operators with weights as their second input.
LAYERS: Final = ("Conv", "Gemm", "MatMul")
#: 8-bit operators of the other forms, which hide ranges and weights from this module.
_DYNAMIC: Final = ("DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
_OPERATORS: Final = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulNBits")
#: Round came with it.
LEAST_OPSET: Final = 11


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves a layer of the integer graph: a tensor, and its grid if it is in 8 bits."""

    tensor: str
    grid: Grid | None


class Graph:
    """An ONNX graph, by who makes and who takes each tensor."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_from_string(data)
        self.nodes: list[Any] = list(self.model.graph.node)
        self.maker: dict[str, Any] = {name: node for node in self.nodes for name in node.output}
        self.takers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
        self._held = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The values of a tensor that is part of the file; None: it is computed."""
        if name in self._held:
            return self._array(self._held[name])
        node = self.maker.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return self._array(node.attribute[0].t)
        if node is not None and node.op_type == "DequantizeLinear":
            return self._dequantised(node)
        return None

    def layers(self) -> list[Any]:
        """The nodes with constant weights, in the order in which they run."""
        found = []
        for node in self.nodes:
            if node.op_type in LAYERS:
                weights = self.constant(node.input[1])
                if weights is not None and weights.ndim >= 2 and (node.op_type == "Conv" or weights.ndim == 2):
                    found.append(node)
        return found

    def grid(self, node: Any) -> Grid | None:
        """Of a QuantizeLinear or DequantizeLinear of one scale; None: it has several, or they are computed."""
        scale = self.constant(node.input[1])
        zero = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros((), np.uint8)
        if scale is None or zero is None or scale.size != 1:
            return None
        limits = np.iinfo(zero.dtype)
        return Grid(float(scale.reshape(())), int(zero.reshape(())), int(limits.min), int(limits.max))

    def only_taker(self, name: str) -> Any:
        """The one node that takes a tensor; None: none, or several do."""
        takers = self.takers.get(name, [])
        return takers[0] if len(takers) == 1 else None

    def entering(self, node: Any) -> Grid | None:
        """The grid of what enters a layer; None: it enters in floats."""
        maker = self.maker.get(node.input[0])
        return self.grid(maker) if maker is not None and maker.op_type == "DequantizeLinear" else None

    def leaving(self, node: Any) -> Leaving:
        """What leaves a layer, after the Relu that only it feeds."""
        name = node.output[0]
        taker = self.only_taker(name)
        if taker is not None and taker.op_type == "Relu":
            name = taker.output[0]
            taker = self.only_taker(name)
        if taker is not None and taker.op_type == "QuantizeLinear":
            return Leaving(taker.output[0], self.grid(taker))
        return Leaving(name, None)

    def rectified_apart(self, leaving: Leaving) -> bool:
        """Whether a Relu follows in 8 bits, behind the grid."""
        after = self.only_taker(leaving.tensor)
        if after is None or after.op_type != "DequantizeLinear":
            return False
        return any(taker.op_type == "Relu" for taker in self.takers.get(after.output[0], []))

    @staticmethod
    def _array(tensor: Any) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = numpy_helper.to_array(tensor)
        return array

    def _dequantised(self, node: Any) -> npt.NDArray[Any] | None:
        held, scale = self.constant(node.input[0]), self.constant(node.input[1])
        if held is None or scale is None:
            return None
        zero = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        if scale.size > 1:
            shape = [1] * held.ndim
            shape[axis] = -1
            scale = scale.reshape(shape)
            zero = None if zero is None else zero.reshape(shape)
        array: npt.NDArray[Any] = (held.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))) * scale
        return array


def check_floats(graph: Graph) -> None:
    """See that it is in floats.

    Raises:
        NoTwinsError: it is quantised.
    """
    kinds = {node.op_type for node in graph.nodes}
    if wrong := kinds & {"QuantizeLinear", "DequantizeLinear", *_DYNAMIC, *_OPERATORS}:
        raise NoTwinsError(
            f"the first variant holds {min(wrong)}; name the one in floats first, the quantised one second"
        )
    opset = next((entry.version for entry in graph.model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset < LEAST_OPSET:
        raise NoTwinsError(
            f"the first variant is of opset {opset}; explain needs {LEAST_OPSET} or later: export it again"
        )


def check_form(graph: Graph) -> None:
    """See that it is quantised in the QDQ form.

    Raises:
        NoTwinsError: it is quantised dynamically, or in integer operators.
    """
    kinds = {node.op_type for node in graph.nodes}
    if wrong := kinds & set(_DYNAMIC):
        raise NoTwinsError(
            f"the second variant holds {min(wrong)}: it is quantised dynamically, so its ranges exist only while it "
            "runs, inside of ONNX Runtime; of ONNX files, explain looks into static ones in the QDQ form"
        )
    if wrong := kinds & set(_OPERATORS):
        raise NoTwinsError(
            f"the second variant holds {min(wrong)}: it is quantised in integer operators; quantise it in the QDQ form "
            "(QuantFormat.QDQ), which `twinserve models quantize` makes"
        )


def pair(names: list[str], floats: Graph, integers: Graph) -> tuple[list[Layer], list[Leaving]]:
    """The layers of both graphs, and what leaves each in the integer graph.

    Args:
        names: of the layers, if the manifest tells as many as there are.
        floats: the float graph.
        integers: the integer graph.

    Raises:
        NoTwinsError: they do not have the same layers.
    """
    first, second = floats.layers(), integers.layers()
    if len(first) != len(second):
        raise NoTwinsError(
            f"the first variant has {len(first)} convolutions and matrix products with weights, "
            f"the second {len(second)}"
        )
    names = names if len(names) == len(first) else [_name(node, place) for place, node in enumerate(first)]
    layers: list[Layer] = []
    leavings: list[Leaving] = []
    outputs: list[Grid] = []
    for name, one, other in zip(names, first, second, strict=True):
        weights, quantised = _weights(floats, one), _weights(integers, other)
        if one.op_type != other.op_type or weights.shape != quantised.shape:
            raise NoTwinsError(
                f"layer {name}: {one.op_type} {list(weights.shape)} in the first variant and {other.op_type} "
                f"{list(quantised.shape)} in the second: they are not one network"
            )
        leaving, how = integers.leaving(other), None
        entering = integers.entering(other)
        in_integers = integers.maker.get(other.input[1]) is not None and entering is not None
        if in_integers:
            own = None if entering in outputs else entering
            how = Quantisation(quantised, own, leaving.grid)
            if leaving.grid is not None:
                outputs.append(leaving.grid)
        taker = floats.only_taker(one.output[0])
        rectified = taker is not None and taker.op_type == "Relu" and not integers.rectified_apart(leaving)
        leavings.append(leaving)
        layers.append(Layer(name, weights, one.op_type, other.op_type, how, rectified))
    return layers, leavings


def transposed(node: Any) -> bool:
    """Whether the weights lie there as in x out."""
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
    )


def _weights(graph: Graph, node: Any) -> Array:
    """The weights as they are used, out x in."""
    held = graph.constant(node.input[1])
    assert held is not None
    if held.dtype != np.float32:
        raise NoTwinsError(f"weights {node.input[1]}: are {held.dtype}; explain reads float32")
    return held.T if transposed(node) else held


def _name(node: Any, place: int) -> str:
    """After its weights, as exporters call them, else as the node is called, else its number."""
    stem, dot, last = node.input[1].rpartition(".")
    if dot and last == "weight":
        return str(stem)
    return str(node.name or f"layer {place + 1}")
