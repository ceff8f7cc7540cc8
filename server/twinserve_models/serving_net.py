"""The trained network as it is served: pixels in, probabilities out.

Both forms take uint8 (0..255) or float32 (0..1), N x 28 x 28, and return float32 probabilities, N x 10. The
normalisation is folded into the first convolution (it has no padding, so the function stays the same), and the columns
of the first linear are permuted to channels-last order, so that flattening is a view and copies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from twinserve_models.net import MEAN, STD, Net
from twinserve_models.packed_layers import ConvReLU, LinearReLU

#: One grey level: a uint8 pixel p means p * PIXEL_SCALE.
PIXEL_SCALE = 1 / 255
#: Sides of the pictures that enter the two convolutions and the first linear.
SIDES = (28, 26, 12)


@dataclass(frozen=True, slots=True)
class FoldedLayers:
    """The layers of a trained network, changed to take pixels of 0..1 and to flatten in channels-last order."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    fc1: nn.Linear
    fc2: nn.Linear


class ServingNet(nn.Module):
    """Float pixels in; ``fc1`` and ``fc2`` may be dynamically quantised."""

    def __init__(self, conv1: nn.Module, conv2: nn.Module, fc1: nn.Module, fc2: nn.Module) -> None:
        """Take the layers; all but the last end with a relu."""
        super().__init__()
        self.conv1, self.conv2, self.fc1, self.fc2 = conv1, conv2, fc1, fc2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        if x.dtype == torch.uint8:
            x = x / 255.0
        x = self.conv2(self.conv1(x.unsqueeze(1)))
        x = torch.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return torch.softmax(self.fc2(self.fc1(x)), 1)


class QuantizedServingNet(nn.Module):
    """The statically quantised form.

    The input's scale is one grey level and its zero point is black: a uint8 picture *is* the quantised tensor.
    """

    def __init__(self, conv1: nn.Module, conv2: nn.Module, fc1: nn.Module, fc2: nn.Module) -> None:
        """Take the quantised layers; all but the last end with a relu."""
        super().__init__()
        self.pixel_scale = PIXEL_SCALE
        self.conv1, self.conv2, self.fc1, self.fc2 = conv1, conv2, fc1, fc2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        if x.dtype == torch.uint8:
            x = torch._make_per_tensor_quantized_tensor(x, self.pixel_scale, 0)  # noqa: SLF001
        else:
            x = torch.quantize_per_tensor(x, self.pixel_scale, 0, torch.quint8)
        x = self.conv2(self.conv1(x.unsqueeze(1)))
        x = torch.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return torch.softmax(self.fc2(self.fc1(x)).dequantize(), 1)


def float_net(net: Net) -> ServingNet:
    """The float32 form of a trained network, fused and packed where oneDNN is there to do it."""
    layers = folded_layers(net)
    conv1, conv2 = float_convolutions(layers)
    if torch.backends.mkldnn.is_available():
        return ServingNet(conv1, conv2, LinearReLU(layers.fc1), layers.fc2)
    return ServingNet(conv1, conv2, nn.Sequential(layers.fc1, nn.ReLU()), layers.fc2)


def float_convolutions(layers: FoldedLayers) -> tuple[nn.Module, nn.Module]:
    """The convolutions with their relus, in float32."""
    if torch.backends.mkldnn.is_available():
        return ConvReLU(layers.conv1, SIDES[0]), ConvReLU(layers.conv2, SIDES[1])
    for conv in (layers.conv1, layers.conv2):
        conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return nn.Sequential(layers.conv1, nn.ReLU()), nn.Sequential(layers.conv2, nn.ReLU())


def folded_layers(net: Net) -> FoldedLayers:
    """Copies of the layers of ``net`` with the normalisation and the order of flattening folded in."""
    layers = FoldedLayers(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Linear(9216, 128), nn.Linear(128, 10))
    conv1, fc1 = layers.conv1, layers.fc1
    assert conv1.bias is not None
    assert net.conv1.bias is not None
    with torch.no_grad():
        # W * ((x - m) / s) + b  =  (W / s) * x + (b - m / s * sum of W), in double precision.
        weight, bias = net.conv1.weight.double(), net.conv1.bias.double()
        conv1.weight.copy_(weight / STD)
        conv1.bias.copy_(bias - weight.sum((1, 2, 3)) * MEAN / STD)
        layers.conv2.load_state_dict(net.conv2.state_dict())
        fc1.weight.copy_(net.fc1.weight.view(128, -1, SIDES[2], SIDES[2]).permute(0, 2, 3, 1).flatten(1))
        fc1.bias.copy_(net.fc1.bias)
        layers.fc2.load_state_dict(net.fc2.state_dict())
    return layers
