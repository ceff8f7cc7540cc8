"""Training: three epochs, the same result for the same seed on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from twinserve_models.data import Dataset
from twinserve_models.net import MEAN, STD, Net


@dataclass(frozen=True, slots=True)
class Recipe:
    """The choices of training; docs/models.md says what each is worth.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        peak_learning_rate: Adam's, reached after ``warm_up`` of all steps and then annealed to nothing (one-cycle).
        warm_up: Share of the steps in which the learning rate rises.
        shift: Each training image is moved by up to so many pixels in both directions.
        weight_decay: Decoupled, as in AdamW.
    """

    epochs: int = 3
    batch_size: int = 64
    peak_learning_rate: float = 2e-3
    warm_up: float = 0.2
    shift: int = 1
    weight_decay: float = 0.01

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the names of the methods."""
        return {"optimiser": "AdamW", "schedule": "one-cycle, cosine", "loss": "cross entropy", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Training:
    """A trained network and how it got there; ``losses`` holds the mean training loss of each epoch."""

    net: Net
    recipe: Recipe
    seed: int
    losses: list[float]
    seconds: float


#: Called after each step with the epoch (from 0), steps done, total steps and the mean loss of the epoch so far.
OnStep = Callable[[int, int, int, float], None]


def train(dataset: Dataset, seed: int, recipe: Recipe | None = None, on_step: OnStep | None = None) -> Training:
    """Train a :class:`Net` on the training images.

    The global random state of torch is left as it was.
    """
    recipe = recipe or Recipe()
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        losses = []
        net = Net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = normalise(torch.from_numpy(dataset.train_images))
        labels = torch.from_numpy(dataset.train_labels)
        steps_an_epoch = -(-len(images) // recipe.batch_size)
        total = steps_an_epoch * recipe.epochs
        optimiser = torch.optim.AdamW(net.parameters(), weight_decay=recipe.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.peak_learning_rate, total_steps=total, pct_start=recipe.warm_up
        )
        net.train()
        for epoch in range(recipe.epochs):
            running = 0.0
            for step, chosen in enumerate(torch.randperm(len(images)).split(recipe.batch_size)):
                batch = shift_randomly(images[chosen], recipe.shift)
                optimiser.zero_grad()
                loss = F.cross_entropy(net(batch), labels[chosen])
                loss.backward()
                optimiser.step()
                schedule.step()
                running += loss.item() * len(chosen)
                if on_step:
                    seen = min((step + 1) * recipe.batch_size, len(images))
                    on_step(epoch, epoch * steps_an_epoch + step + 1, total, running / seen)
            losses.append(running / len(images))
    return Training(net.eval(), recipe, seed, losses, time.perf_counter() - started)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 N x 28 x 28 to what :class:`Net` takes: float32 N x 1 x 28 x 28."""
    return ((pixels.float() / 255 - MEAN) / STD).unsqueeze(1)


def shift_randomly(images: torch.Tensor, limit: int) -> torch.Tensor:
    """Move each image by its own whole number of pixels, up to ``limit`` either way; what comes in is background."""
    if not limit:
        return images
    count, _, height, width = images.shape
    padded = F.pad(images, (limit, limit, limit, limit), value=-MEAN / STD)
    rows = torch.randint(0, 2 * limit + 1, (count, 1)) + torch.arange(height)
    columns = torch.randint(0, 2 * limit + 1, (count, 1)) + torch.arange(width)
    picture = torch.arange(count)
    return padded[picture[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
