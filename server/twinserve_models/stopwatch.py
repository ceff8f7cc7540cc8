"""How fast a module is while a model is built: the least of a few passes, which other work disturbs least."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch


def least_seconds(
    forward: Callable[[torch.Tensor], Any], batch: torch.Tensor, passes: int, enough: float = math.inf
) -> float:
    """The seconds of the fastest of ``passes`` over ``batch``; it ends once even that takes more than ``enough``."""
    least = math.inf
    with torch.inference_mode():
        for _ in range(passes):
            started = time.perf_counter()
            forward(batch)
            least = min(least, time.perf_counter() - started)
            if least > enough:
                break
    return least
