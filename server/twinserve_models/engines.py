"""Which quantised engine a build takes: where several may suit the machine, the one that runs the twin faster here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from twinserve_models.net import Net
from twinserve_models.quantize import QuantRecipe, quantize_static
from twinserve_models.stopwatch import least_seconds

#: The batch that is timed, on one thread, as a model process runs it.
BATCH: Final = 64
PASSES: Final = 10
#: Another engine than the usual one must be faster by this factor: less may be noise.
MARGIN: Final = 1.1


def choose_recipe(
    net: Net, calibration: torch.Tensor, recipes: Sequence[QuantRecipe]
) -> tuple[QuantRecipe, dict[str, Any]]:
    """The recipe to build with, and what was tried: by engine, microseconds of a batch, or how it failed.

    Args:
        net: the trained network.
        calibration: training images, uint8, N x 28 x 28.
        recipes: the usual one first. A single one is not tried: there is nothing to choose.
    """
    if len(recipes) == 1:
        return recipes[0], {}
    tried: dict[str, Any] = {}
    best, best_us = recipes[0], float("inf")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for recipe in recipes:
            try:
                took_us = round(_least_us(net, calibration, recipe))
            except RuntimeError as error:
                # An available engine may lack the kernels for a layer.
                tried[recipe.engine] = f"fails: {str(error).splitlines()[0][:200]}"
                continue
            tried[recipe.engine] = took_us
            if took_us * MARGIN < best_us:
                best, best_us = recipe, took_us
    finally:
        torch.set_num_threads(threads)
    return best, tried


def _least_us(net: Net, calibration: torch.Tensor, recipe: QuantRecipe) -> float:
    """Microseconds of a batch through the static twin, scripted as it is served."""
    twin = torch.jit.script(quantize_static(net, calibration[:BATCH], recipe).eval())
    return 1e6 * least_seconds(twin, calibration[:BATCH], PASSES)
