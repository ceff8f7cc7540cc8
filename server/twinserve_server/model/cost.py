"""What an image costs a warm model, for the supervisor's plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from twinserve_server.ipc.load_facts import Cost

#: The minimum of several passes is the model's cost; the others met cold caches or a slower core.
PASSES: Final = 5
#: An expensive model is not measured again after this long.
ENOUGH_SECONDS: Final = 0.25


def measured_cost(run: Callable[[int], object], batch_limit: int, warm_limit: int, added_bytes: int) -> Cost:
    """What a variant takes.

    Args:
        run: one forward pass over so many images.
        batch_limit: the most images in one.
        warm_limit: the largest size that is warm: the warm-up leaves out what would take too long.
        added_bytes: memory that loading and warming added.
    """
    return Cost(_least_us(lambda: run(1)), _least_us(lambda: run(warm_limit)) / warm_limit, batch_limit, added_bytes)


def _least_us(run: Callable[[], object]) -> float:
    least = float("inf")
    first = time.perf_counter()
    for _ in range(PASSES):
        # CPU time of all threads, not wall-clock time: other models start at the same time on the same cores.
        started = time.process_time()
        run()
        least = min(least, time.process_time() - started)
        ended = time.perf_counter()
        if ended - first > ENOUGH_SECONDS:
            break
    return least * 1e6
