"""Makes an ONNX graph in floats steerable: each run may give its layers other weights and grids."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from twinserve_models.explain.qdq import Graph, transposed
from twinserve_models.explain.twins import Layer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer of the float graph is steered and looked at.

    Attributes:
        weights: the input that stands for its weights.
        transposed: whether they lie there as in x out.
        entering_grid, leaving_grid: how the inputs begin that state the grids of what enters and leaves.
        entering, raw: the tensors that enter and leave, before their grids.
        told: what leaves, after its grid.
    """

    weights: str
    transposed: bool
    entering_grid: str
    entering: str
    leaving_grid: str
    raw: str
    told: str


def steerable(floats: Graph, layers: list[Layer]) -> tuple[bytes, list[Place]]:
    """The float graph with weights and grids that each run may give; without them it computes as before.

    Each grid is arithmetic, not QuantizeLinear, which ONNX Runtime would fuse away. What steers it are initializers
    that are inputs as well, that is, optional ones.

    Args:
        floats: the float graph; its nodes are changed.
        layers: of :func:`pair`.
    """
    model = onnx.ModelProto()
    model.CopyFrom(floats.model)
    graph = model.graph
    made: dict[int, list[Any]] = defaultdict(list)  # before the node of that index
    places = []
    at = {id(node): index for index, node in enumerate(floats.nodes)}
    for number, (node, layer) in enumerate(zip(floats.layers(), layers, strict=True)):
        prefix = f"twinserve.{number}"
        lie_transposed = transposed(node)
        last = floats.only_taker(node.output[0]) if layer.rectified else node
        entering, told, raw = node.input[0], last.output[0], f"{prefix}.raw"
        _optional(graph, f"{prefix}.weights", layer.weights.T if lie_transposed else layer.weights)
        made[at[id(node)]] += _grid_nodes(graph, f"{prefix}.in", entering, f"{prefix}.entered")
        made[at[id(last)] + 1] += _grid_nodes(graph, f"{prefix}.out", raw, told)
        node.input[0], node.input[1], last.output[0] = f"{prefix}.entered", f"{prefix}.weights", raw
        places.append(Place(f"{prefix}.weights", lie_transposed, f"{prefix}.in", entering, f"{prefix}.out", raw, told))
    ordered = []
    for index, node in enumerate(floats.nodes):
        ordered += [*made[index], node]
    del graph.node[:]
    graph.node.extend([*ordered, *made[len(floats.nodes)]])
    model.ir_version = max(model.ir_version, 4)  # before that, every initializer is an input
    looked_at = [name for place in places for name in (place.entering, place.raw, place.told)]
    return with_outputs(model, looked_at), places


def with_outputs(model: Any, names: list[str]) -> bytes:
    """A model that also returns these tensors; what enters it cannot be one of them."""
    known = {entry.name for entry in [*model.graph.output, *model.graph.input]}
    for name in dict.fromkeys(names):
        if name not in known:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    data: bytes = model.SerializeToString()
    return data


def _grid_nodes(graph: Any, prefix: str, source: str, target: str) -> list[Any]:
    """``target`` is ``source``, on the grid that the inputs called ``prefix`` state if ``prefix.on``."""
    for name, default in (("scale", 1.0), ("zero", 0.0), ("low", 0.0), ("high", 255.0)):
        _optional(graph, f"{prefix}.{name}", np.array(default, np.float32))
    _optional(graph, f"{prefix}.on", np.array(False))

    def node(operator: str, *inputs: str) -> Any:
        return helper.make_node(operator, list(inputs), [f"{prefix}.{operator}"])

    def of(name: str) -> str:
        return f"{prefix}.{name}"

    return [
        node("Div", source, of("scale")),
        node("Round", of("Div")),
        node("Add", of("Round"), of("zero")),
        node("Max", of("Add"), of("low")),
        node("Min", of("Max"), of("high")),
        node("Sub", of("Min"), of("zero")),
        node("Mul", of("Sub"), of("scale")),
        helper.make_node("Where", [of("on"), of("Mul"), source], [target]),
    ]


def _optional(graph: Any, name: str, values: npt.NDArray[Any]) -> None:
    """A tensor of the graph that a run may replace."""
    tensor = numpy_helper.from_array(np.array(values, order="C"), name)
    graph.initializer.append(tensor)
    graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, list(values.shape)))
