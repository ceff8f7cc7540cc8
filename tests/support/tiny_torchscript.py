"""The tiny models as TorchScript files."""

from __future__ import annotations

import torch

from support.tiny_model import CLASSES, POISON, Recipe


class Net(torch.nn.Module):
    """Takes bytes, and floats of 0..1."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.scale, self.swap, self.rounds, self.fragile = recipe.scale, recipe.swap, recipe.rounds, recipe.fragile
        self.classes, self.poison = CLASSES, POISON - 0.5
        self.register_buffer("work", torch.eye(256))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, items x classes."""
        y = x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x
        y = y.flatten(1)
        if self.fragile and bool((y[:, 15] * 255 > self.poison).any()):
            raise RuntimeError("poison")
        unit: torch.Tensor = self.work  # type: ignore[assignment]
        work = unit
        for _ in range(self.rounds):
            work = torch.mm(work, unit)
        y = y[:, : self.classes] * self.scale + work[0, 1]
        if self.swap:
            y = torch.stack([y[:, 1], y[:, 0], y[:, 2], y[:, 3], y[:, 4]], 1)
        return torch.softmax(y, 1)


def script_of(recipe: Recipe) -> bytes:
    """The file."""
    return bytes(torch.jit.script(Net(recipe)).save_to_buffer())
