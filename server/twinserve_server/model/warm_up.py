"""Which batch sizes the warm-up runs, in which order, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

#: Running every size would make the warm-up grow with the square of the limit: 4096 would take hours.
EVERY_SIZE_UP_TO: Final = 64
#: Its total time budget. Sizes that do not fit stay cold: their first batch is slower.
BUDGET_SECONDS: Final = 20.0
#: A warm-up that takes longer than this logs its progress, this often.
PROGRESS_SECONDS: Final = 5.0


class WarmUp:
    """One model's warm-up: runs sizes until the budget is spent."""

    def __init__(
        self,
        run: Callable[[int], None],
        passes: int,
        on_progress: Callable[[int, int], None] = lambda *_: None,
        budget_seconds: float = BUDGET_SECONDS,
        progress_seconds: float = PROGRESS_SECONDS,
    ) -> None:
        """
        Args:
            run: runs one batch of so many images of every datatype.
            passes: how often each size runs.
            on_progress: told, every ``progress_seconds``, how many of how many sizes were done.
            budget_seconds: from now on.
        """
        self._run, self._passes, self._on_progress = run, passes, on_progress
        self._started = self._said = time.monotonic()
        self._budget_seconds = budget_seconds
        self._progress_seconds = progress_seconds
        #: The fewest seconds per image so far: the first calls take longer than later ones.
        self._image_seconds = 0.0

    def warm(self, sizes: list[int]) -> list[int]:
        """Run ``sizes`` in this order; return those that did not fit into the budget, ascending."""
        cold = []
        for done, size in enumerate(sizes):
            spent = time.monotonic() - self._started
            if spent + self._passes * size * self._image_seconds > self._budget_seconds:
                cold.append(size)
                continue
            for _ in range(self._passes):
                before = time.monotonic()
                self._run(size)
                took = (time.monotonic() - before) / size
                self._image_seconds = min(self._image_seconds or took, took)
            if time.monotonic() - self._said > self._progress_seconds:
                self._said = time.monotonic()
                self._on_progress(done + 1, len(sizes))
        return sorted(cold)


def sizes_to_warm(max_batch_size: int, preferred_batch_sizes: Iterable[int] = ()) -> list[int]:
    """The batch sizes that run before anybody asks, what matters most first.

    One image, the limit, the sizes that batches are made of on purpose, powers of two, then every other size up to
    ``EVERY_SIZE_UP_TO``. oneDNN makes a kernel for each size. The first batch of a size that did not run waits for it:
    of the MNIST network, with one thread, some 2 ms in the median (FP32 1.8, INT8 1.5; one in ten more than 7 and 3),
    on top of the 20 to 190 (7 to 50) that 65 to 512 images take. Its memory is there: the limit ran.
    """
    powers = [1 << power for power in range(max_batch_size.bit_length())]
    wanted = [1, max_batch_size, *sorted(preferred_batch_sizes), *powers, *range(1, EVERY_SIZE_UP_TO + 1)]
    return [size for size in dict.fromkeys(wanted) if size <= max_batch_size]


def ranges_of(sizes: Iterable[int]) -> str:
    """``sizes`` (ascending) for people: ``3, 5..7``."""
    runs: list[list[int]] = []
    for size in sizes:
        if runs and size == runs[-1][1] + 1:
            runs[-1][1] = size
        else:
            runs.append([size, size])
    return ", ".join(str(first) if first == last else f"{first}..{last}" for first, last in runs)
