"""Post-training quantisation: the static twin (convolutions and linears) and the dynamic one (linears only)."""

from __future__ import annotations

import platform
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.ao import quantization as tq
from torch.ao.nn.intrinsic import ConvReLU2d, LinearReLU

from twinserve_host.processor import cpu_flags
from twinserve_models.machine import engines_for, reduce_range_for
from twinserve_models.net import Net
from twinserve_models.packed_layers import OWN_PACK_LIMIT, QuantizedConvReLU
from twinserve_models.serving_net import (
    PIXEL_SCALE,
    QuantizedServingNet,
    ServingNet,
    float_convolutions,
    folded_layers,
)

ONEDNN_ENGINES = frozenset({"x86", "onednn"})
BATCH = 256
#: How many training images set the ranges of the activations.
CALIBRATION_IMAGES = 2048


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """How the static twin is made.

    Attributes:
        engine: ``torch.backends.quantized.engine``.
        reduce_range: Activations of 7 bits instead of 8 (and first-layer weights of 7, for pixels have 8).
    """

    engine: str
    reduce_range: bool


def default_recipes() -> list[QuantRecipe]:
    """The recipes that may suit this machine, the usual one first."""
    known = torch.backends.quantized.supported_engines
    flags = cpu_flags()
    engines = [engine for engine in engines_for(platform.machine()) if engine in known]
    return [QuantRecipe(engine, reduce_range_for(engine, flags)) for engine in engines or known[:1]]


def quantize_static(net: Net, calibration: torch.Tensor, recipe: QuantRecipe) -> QuantizedServingNet:
    """Quantise all four layers: weights per output channel, activations per tensor.

    Args:
        net: The trained network.
        calibration: Training images, uint8, N x 28 x 28.
        recipe: How.
    """
    torch.backends.quantized.engine = recipe.engine
    with quiet():
        prepared = tq.prepare(_Observed(net, recipe).eval())
        with torch.no_grad():
            for batch in calibration.split(BATCH):
                prepared((batch / 255.0).unsqueeze(1))
        converted = tq.convert(prepared)
        own = OWN_PACK_LIMIT if recipe.engine in ONEDNN_ENGINES else 0
        conv1, conv2 = QuantizedConvReLU(converted.conv1, own), QuantizedConvReLU(converted.conv2, own)
    return QuantizedServingNet(conv1, conv2, converted.fc1, converted.fc2)


def quantize_dynamic(net: Net, engine: str) -> ServingNet:
    """Quantise the two linears; the ranges of their activations are found batch by batch, at run time."""
    torch.backends.quantized.engine = engine
    layers = folded_layers(net)
    linears = nn.ModuleDict({"fc1": LinearReLU(layers.fc1, nn.ReLU()), "fc2": layers.fc2})
    wanted = {LinearReLU: tq.default_dynamic_qconfig, nn.Linear: tq.default_dynamic_qconfig}
    with quiet():
        quantized = tq.quantize_dynamic(linears.eval(), wanted, dtype=torch.qint8)
    return ServingNet(*float_convolutions(layers), quantized["fc1"], quantized["fc2"])


class quiet(warnings.catch_warnings):  # noqa: N801  (reads as a statement)
    """Hides one warning: torch.ao.quantization is deprecated for torchao, which makes no TorchScript."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message=".*(torch.ao.quantization is|quantized tensor creation).*deprecated")
        warnings.filterwarnings("ignore", message=".*creation functions that produce tensors.*")


class _Observed(nn.Module):
    """The layers fused with their relus, with observers on what leaves each of them."""

    def __init__(self, net: Net, recipe: QuantRecipe) -> None:
        super().__init__()
        layers = folded_layers(net)
        self.quant = tq.QuantStub()
        self.conv1 = ConvReLU2d(layers.conv1, nn.ReLU())
        self.conv2 = ConvReLU2d(layers.conv2, nn.ReLU())
        self.fc1 = LinearReLU(layers.fc1, nn.ReLU())
        self.fc2 = layers.fc2
        activation: Any = tq.HistogramObserver.with_args(dtype=torch.quint8, reduce_range=recipe.reduce_range)
        weight: Any = tq.default_per_channel_weight_observer
        pixels: Any = tq.FixedQParamsObserver.with_args(scale=PIXEL_SCALE, zero_point=0, dtype=torch.quint8)
        self.qconfig = tq.QConfig(activation=activation, weight=weight)
        self.quant.qconfig = tq.QConfig(activation=pixels, weight=weight)
        if recipe.reduce_range:
            weight7 = weight.with_args(quant_min=-64, quant_max=63)
            self.conv1.qconfig = tq.QConfig(activation=activation, weight=weight7)  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.conv1(self.quant(x)))
        x = torch.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return self.fc2(self.fc1(x))  # type: ignore[no-any-return]
