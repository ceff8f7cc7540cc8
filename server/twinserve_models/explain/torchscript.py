"""Looks on while two TorchScript artefacts run: torch shows every operator that its interpreter executes.

So it works on the files that are served, whatever made them, and simulates 8 bits in the middle of the float one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from twinserve_models.explain.profile import profiled
from twinserve_models.explain.twins import Array, Grid, Kernel, Layer, NoTwinsError, Quantisation, Seen

#: The float operators that count as layers: positions of input and weights among their arguments.
_FLOAT: Final = {
    "aten::convolution": (0, 1),
    "aten::conv1d": (0, 1),
    "aten::conv2d": (0, 1),
    "aten::linear": (0, 1),
    "aten::addmm": (1, 2),
    "aten::mm": (0, 1),
    "mkldnn::_convolution_pointwise": (0, 1),
    "mkldnn::_linear_pointwise": (0, 1),
}
#: Those whose weights are in x out.
_TRANSPOSED: Final = ("aten::addmm", "aten::mm")
_INTEGER: Final = re.compile(r"quantized::(conv[123]d|linear)(_relu)?(_dynamic)?$")

#: A layer that ran: operator, weights as used, arguments, output.
_Call = tuple[str, torch.Tensor, list[Any], Any]
#: Called for every layer with its operator and arguments; returns what the layer gives.
OnLayer = Callable[[Any, list[Any], dict[str, Any]], Any]


class TorchScriptTwins:
    """Two TorchScript artefacts, in this process."""

    def __init__(self, float_data: bytes, integer_data: bytes, example: npt.NDArray[Any], names: list[str]) -> None:
        """Load them and find their layers by running ``example``, a batch.

        Args:
            float_data: the file of the float artefact.
            integer_data: that of the integer artefact.
            example: a batch, N x item.
            names: of the layers, if the manifest tells as many as there are.

        Raises:
            NoTwinsError: they do not have the same layers, or the first is no float artefact.
        """
        self._float, self._integer = (torch.jit.load(io.BytesIO(data)).eval() for data in (float_data, integer_data))
        floats, integers = _calls(self._float, example), _calls(self._integer, example)
        if wrong := next((name for name, *_ in floats if _INTEGER.match(name)), None):
            raise NoTwinsError(
                f"the first variant runs {wrong}; name the one in floats first, the quantised one second"
            )
        if len(floats) != len(integers):
            raise NoTwinsError(
                f"the first variant has {len(floats)} convolutions and linears, the second {len(integers)}"
            )
        names = names if len(names) == len(floats) else _names(self._float, len(floats))
        self.layers = _layers(names, floats, integers)

    def observe(self, batch: npt.NDArray[Any]) -> list[Seen]:
        served: list[Array] = []

        def integer(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
            output = func(*args, **kwargs)
            served.append(_array(output))
            return output

        seen: list[Seen] = []

        def floating(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
            layer = self.layers[len(seen)]
            at, _ = _FLOAT[func._schema.name]  # noqa: SLF001
            output = func(*args, **kwargs)
            told, alone = output, None
            if layer.quantisation is not None:
                alone = _simulated(func, args, kwargs, layer.quantisation)
            if layer.rectified:
                told, alone = output.relu(), None if alone is None else alone.relu()
            seen.append(
                Seen(_array(args[at]), _array(told), None if alone is None else _array(alone), served[len(seen)])
            )
            return output

        _run(self._integer, batch, integer)
        _run(self._float, batch, floating)
        return seen

    def simulate(self, batch: npt.NDArray[Any], quantised: Mapping[int, Quantisation]) -> Array:
        place = iter(range(len(self.layers)))

        def simulated(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
            wanted = quantised.get(next(place))
            return func(*args, **kwargs) if wanted is None else _simulated(func, args, kwargs, wanted)

        return _run(self._float, batch, simulated)

    def served(self, batch: npt.NDArray[Any]) -> Array:
        with torch.no_grad():
            return _array(self._integer(torch.from_numpy(batch)))

    def kernels(self, batch: npt.NDArray[Any]) -> list[tuple[Kernel, Kernel]]:
        of_floats = profiled(self._float, batch, [layer.float_op for layer in self.layers])
        of_integers = profiled(self._integer, batch, [layer.integer_op for layer in self.layers])
        return list(zip(of_floats, of_integers, strict=True))


class _LookOn(TorchDispatchMode):
    """Hands every layer that executes to ``on_layer``, in order."""

    def __init__(self, on_layer: OnLayer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._on_layer = on_layer
        #: What operators made: a product of two of those is no layer. Kept, or their memory would be used again.
        self._made: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name  # noqa: SLF001
        if (name in _FLOAT and not self._is_made(args[_FLOAT[name][1]])) or _INTEGER.match(name):
            output = self._on_layer(func, list(args), kwargs or {})
        else:
            output = func(*args, **(kwargs or {}))
        known = {_storage(argument) for argument in args}
        if isinstance(output, torch.Tensor) and (where := _storage(output)) is not None and where not in known:
            self._made[where] = output
        return output

    def _is_made(self, weights: torch.Tensor) -> bool:
        return _storage(weights) in self._made


def _run(module: Callable[..., Any], batch: npt.NDArray[Any], on_layer: OnLayer) -> Array:
    # Not inference_mode: there, torch would show composite operators instead of the ones they consist of.
    with torch.no_grad(), _LookOn(on_layer):
        output = module(torch.from_numpy(batch))
    return _array(output)


def _calls(module: Callable[..., Any], batch: npt.NDArray[Any]) -> list[_Call]:
    found: list[_Call] = []

    def keep(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        output, name = func(*args, **kwargs), func._schema.name  # noqa: SLF001
        found.append((name, _weights(name, args), args, output))
        return output

    _run(module, batch, keep)
    return found


def _weights(name: str, args: list[Any]) -> torch.Tensor:
    """The weights as they are used, out x in."""
    if match := _INTEGER.match(name):
        unpacked: torch.Tensor = getattr(torch.ops.quantized, f"{match[1]}_unpack")(args[1])[0]
        return unpacked.dequantize()
    weights: torch.Tensor = args[_FLOAT[name][1]]
    if weights.layout is not torch.strided:
        weights = weights.to_dense()
    return weights.t() if name in _TRANSPOSED else weights


def _layers(names: list[str], floats: list[_Call], integers: list[_Call]) -> list[Layer]:
    layers: list[Layer] = []
    outputs: list[Grid] = []
    for name, (float_op, weights, _, _), (integer_op, quantised, args, output) in zip(
        names, floats, integers, strict=True
    ):
        if weights.shape != quantised.shape:
            raise NoTwinsError(
                f"layer {name}: the weights are {list(weights.shape)} in the first variant and "
                f"{list(quantised.shape)} in the second: they are not one network"
            )
        match, how = _INTEGER.match(integer_op), None
        if match:
            entering, leaving = _grid(args[0]), _grid(output)
            own = None if entering in outputs else entering
            how = Quantisation(_array(quantised), own, leaving, dynamic=entering is None)
            if leaving is not None:
                outputs.append(leaving)
        layers.append(Layer(name, _array(weights), float_op, integer_op, how, bool(match and match[2])))
    return layers


def _names(module: torch.jit.ScriptModule, count: int) -> list[str]:
    """The names of the modules that hold weights, if they are as many as the layers; else their numbers."""
    held = ("weight", "packed", "_packed_params")
    found = [
        name
        for name, part in module.named_modules()
        if name and any(hasattr(part, attribute) for attribute in held) and not list(part.children())
    ]
    return found if len(found) == count else [f"layer {place + 1}" for place in range(count)]


def _simulated(func: Any, args: list[Any], kwargs: dict[str, Any], how: Quantisation) -> Any:
    """The float operator with weights, input and output on the grids of 8 bits."""
    name = func._schema.name  # noqa: SLF001
    at, weights_at = _FLOAT[name]
    weights = torch.from_numpy(how.weights)
    args = list(args)
    grid = Grid.over(float(args[at].min()), float(args[at].max())) if how.dynamic else how.input
    if grid is not None:
        args[at] = _snapped(args[at], grid)
    args[weights_at] = weights.t() if name in _TRANSPOSED else weights
    output = func(*args, **kwargs)
    return output if how.output is None else _snapped(output, how.output)


def _snapped(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    return torch.fake_quantize_per_tensor_affine(values, grid.scale, grid.zero_point, grid.low, grid.high)


def _grid(tensor: torch.Tensor) -> Grid | None:
    """Of a quantised tensor; None: it is in floats."""
    if not tensor.is_quantized:
        return None
    low, high = (-128, 127) if tensor.dtype is torch.qint8 else (0, 255)
    return Grid(tensor.q_scale(), tensor.q_zero_point(), low, high)


def _storage(value: Any) -> int | None:
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return None
    return value.untyped_storage().data_ptr()


def _array(tensor: torch.Tensor) -> Array:
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    array: Array = tensor.detach().contiguous().float().numpy().astype(np.float32, copy=False)
    return array
