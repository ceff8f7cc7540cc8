"""The network: two convolutions, two linears, 1,199,882 parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import nn

#: Pixels arrive as 0..1; training sees (pixel - MEAN) / STD, the usual figures of MNIST's training images.
MEAN = 0.1307
STD = 0.3081
PARAMETERS = 1_199_882


class Net(nn.Module):
    """Normalised images, N x 1 x 28 x 28, to logits, N x 10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        x = F.relu(self.conv1(x))
        # Equals pooling after ReLU, on a quarter of the elements.
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = torch.flatten(self.dropout1(x), 1)
        x = F.relu(self.fc1(x))
        return self.fc2(self.dropout2(x))  # type: ignore[no-any-return]
