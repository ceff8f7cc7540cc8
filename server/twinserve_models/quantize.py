"""Post-training quantisation: the static twin (convolutions and linears) and the dynamic one (linears only)."""

from __future__ import annotations

import platform
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.ao import quantization as tq

from twinserve_models.net import Net
from twinserve_models.serving_net import PIXEL_SCALE, QuantizedServingNet, ServingNet, folded_layers

# torch.ao.quantization is deprecated upstream in favour of torchao, which does not make TorchScript.
warnings.filterwarnings("ignore", message=".*torch.ao.quantization is deprecated.*")

ARM_MACHINES = ("aarch64", "arm64", "armv7l", "armv8l")


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """How the static twin is made; each field is stated in the manifest."""

    engine: str
    reduce_range: bool
    calibration_images: int = 2048
    observer: str = "histogram"


def engine_for(machine: str) -> str:
    """The quantised engine that suits ``machine``, a name as :func:`platform.machine` gives it."""
    return "qnnpack" if machine.lower() in ARM_MACHINES else "x86"


def default_recipe() -> QuantRecipe:
    """The recipe for this machine."""
    return QuantRecipe(engine=engine_for(platform.machine()), reduce_range=False)


def quantize_static(net: Net, calibration: torch.Tensor, recipe: QuantRecipe) -> QuantizedServingNet:
    """Quantise all four layers: weights per output channel, activations per tensor.

    Args:
        net: The trained network.
        calibration: Training images, uint8, N x 28 x 28; their activations set the ranges.
        recipe: How.
    """
    torch.backends.quantized.engine = recipe.engine
    layers = _Observed(net, recipe)
    prepared = tq.prepare(layers.eval())
    with torch.no_grad():
        for batch in calibration.split(256):
            prepared((batch / 255.0).unsqueeze(1))
    converted = tq.convert(prepared)
    return QuantizedServingNet(converted.conv1, converted.conv2, converted.fc1, converted.fc2)


def quantize_dynamic(net: Net) -> nn.Module:
    """Quantise the two linears; their activations are quantised batch by batch, at run time."""
    return tq.quantize_dynamic(ServingNet(net).eval(), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-any-return]


class _Observed(nn.Module):
    """The layers, fused with their relus, with observers on what leaves each of them."""

    def __init__(self, net: Net, recipe: QuantRecipe) -> None:
        super().__init__()
        conv1, conv2, fc1, fc2 = folded_layers(net)
        self.quant = tq.QuantStub()
        self.conv1 = torch.ao.nn.intrinsic.ConvReLU2d(conv1, nn.ReLU())
        self.conv2 = torch.ao.nn.intrinsic.ConvReLU2d(conv2, nn.ReLU())
        self.fc1 = torch.ao.nn.intrinsic.LinearReLU(fc1, nn.ReLU())
        self.fc2 = fc2
        observer: Any = tq.HistogramObserver if recipe.observer == "histogram" else tq.MinMaxObserver
        self.qconfig = tq.QConfig(
            activation=observer.with_args(dtype=torch.quint8, reduce_range=recipe.reduce_range),
            weight=tq.default_per_channel_weight_observer,
        )
        self.quant.qconfig = tq.QConfig(
            activation=tq.FixedQParamsObserver.with_args(scale=PIXEL_SCALE, zero_point=0, dtype=torch.quint8),
            weight=tq.default_per_channel_weight_observer,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.conv1(self.quant(x)))
        x = torch.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return self.fc2(self.fc1(x))  # type: ignore[no-any-return]
