"""The trained network as it is served: pixels in, probabilities out.

Both forms take uint8 (0..255) or float32 (0..1), N x 28 x 28, and return float32 probabilities, N x 10. The
normalisation is folded into the first convolution (it has no padding, so the fold is exact), and the columns of the
first linear are permuted to channels-last order, so that flattening is a view and copies nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from twinserve_models.net import MEAN, STD, Net

#: One grey level: the value of a uint8 pixel is PIXEL_SCALE * pixel.
PIXEL_SCALE = 1 / 255


class ServingNet(nn.Module):
    """The float32 form."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc1, self.fc2 = folded_layers(net)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        if x.dtype == torch.uint8:
            x = x / 255.0
        x = F.relu(self.conv1(x.unsqueeze(1)))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.permute(0, 2, 3, 1).flatten(1)))
        return torch.softmax(self.fc2(x), 1)


class QuantizedServingNet(nn.Module):
    """The statically quantised form, around layers that :mod:`~twinserve_models.quantize` made.

    The input's scale is one grey level and its zero point is black: a uint8 picture *is* the quantised tensor.
    """

    def __init__(self, conv1: nn.Module, conv2: nn.Module, fc1: nn.Module, fc2: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc1, self.fc2 = conv1, conv2, fc1, fc2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        if x.dtype == torch.uint8:
            x = torch._make_per_tensor_quantized_tensor(x, 1 / 255, 0)  # noqa: SLF001
        else:
            x = torch.quantize_per_tensor(x, 1 / 255, 0, torch.quint8)
        x = self.conv2(self.conv1(x.unsqueeze(1)))
        x = F.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        return torch.softmax(self.fc2(self.fc1(x)).dequantize(), 1)


def folded_layers(net: Net) -> tuple[nn.Conv2d, nn.Conv2d, nn.Linear, nn.Linear]:
    """Copies of the layers of ``net``, for pixels of 0..1 and channels-last flattening."""
    conv1, conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
    fc1, fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)
    with torch.no_grad():
        # W * ((x - m) / s) + b  =  (W / s) * x + (b - m / s * sum of W), in double precision.
        weight, bias = (parameter.double() for parameter in (net.conv1.weight, net.conv1.bias))
        conv1.weight.copy_(weight / STD)
        conv1.bias.copy_(bias - weight.sum((1, 2, 3)) * MEAN / STD)
        conv2.load_state_dict(net.conv2.state_dict())
        channels, side = 64, 12
        order = torch.arange(9216).view(channels, side, side).permute(1, 2, 0).flatten()
        fc1.weight.copy_(net.fc1.weight[:, order])
        fc1.bias.copy_(net.fc1.bias)
        fc2.load_state_dict(net.fc2.state_dict())
    return conv1, conv2, fc1, fc2
