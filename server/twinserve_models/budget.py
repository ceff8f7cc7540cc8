"""How much training a machine can do in the time there is: by a few timed steps; what is too much is left out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from twinserve_models.data import Dataset
from twinserve_models.net import Net
from twinserve_models.reduction import Reduction
from twinserve_models.train import Recipe, normalise

#: Training takes at most about this long unless asked to train fully; the whole demo then takes under ten minutes.
TRAINING_SECONDS: Final = 240.0
#: The machine may slow down after the timing.
MARGIN: Final = 0.8
#: A step is timed this often, or as often as fits into this many seconds.
TIMED_STEPS: Final = 20
TIMED_SECONDS: Final = 5.0
#: The first steps allocate memory, so they are not timed.
WARM_UP_STEPS: Final = 3
#: With fewer images and epochs the network learns too little to be worth measuring; these are always trained.
LEAST_IMAGES: Final = 4_000
LEAST_EPOCHS: Final = 3


def seconds_a_step(dataset: Dataset, recipe: Recipe) -> float:
    """Time some steps of training on a network that is thrown away; torch's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        net = Net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(net.parameters(), fused=True)
        images = normalise(torch.from_numpy(dataset.train_images[: recipe.batch_size]))
        labels = torch.from_numpy(dataset.train_labels[: recipe.batch_size])
        taken: list[float] = []
        began = time.perf_counter()
        while len(taken) < WARM_UP_STEPS + TIMED_STEPS and (
            len(taken) <= WARM_UP_STEPS or time.perf_counter() - began < TIMED_SECONDS
        ):
            before = time.perf_counter()
            optimiser.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimiser.step()
            taken.append(time.perf_counter() - before)
    return sum(taken[WARM_UP_STEPS:]) / len(taken[WARM_UP_STEPS:])


def fit(
    dataset: Dataset, recipe: Recipe, seconds: float, step_seconds: float, seed: int
) -> tuple[Dataset, Recipe, Reduction | None]:
    """What of ``dataset`` and ``recipe`` can be trained within ``seconds``; None: all of it.

    A second look at an image teaches less than a new image does: epochs go first, then images, drawn by ``seed``.
    """
    all_images = len(dataset.train_images)
    affordable = int(MARGIN * seconds / step_seconds) * recipe.batch_size
    if affordable >= all_images * recipe.epochs:
        return dataset, recipe, None
    epochs = max(1, min(recipe.epochs, -(-affordable // all_images)))
    images = affordable // epochs
    if images < LEAST_IMAGES:
        epochs, images = min(recipe.epochs, LEAST_EPOCHS), LEAST_IMAGES
    images = min(all_images, images)
    if (images, epochs) == (all_images, recipe.epochs):
        return dataset, recipe, None
    chosen = np.random.default_rng(seed).permutation(all_images)[:images]
    part = replace(
        dataset,
        train_images=dataset.train_images[chosen],
        train_labels=dataset.train_labels[chosen],
        info=replace(dataset.info, train_images=images),
    )
    return part, replace(recipe, epochs=epochs), Reduction(images, all_images, epochs, recipe.epochs)
