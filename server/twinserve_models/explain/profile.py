"""Which kernels execute the layers of a TorchScript artefact, and for how long, as torch's profiler tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy.typing as npt
import torch
from torch.autograd.profiler import profile

from twinserve_models.explain.twins import Kernel

#: The median of this many passes counts; the passes before compile the graph.
PASSES: Final = 7
WARM_UP: Final = 3


def profiled(module: Callable[..., Any], batch: npt.NDArray[Any], wanted: list[str]) -> list[Kernel]:
    """The kernel of each layer, by the operators that were seen to execute them, in order."""
    found = []
    images = torch.from_numpy(batch)
    with torch.no_grad(), _silence():
        for turn in range(WARM_UP + PASSES):
            with profile(use_kineto=False) as record:
                module(images)
            if turn >= WARM_UP:
                found.append(_in_order(record.function_events, wanted))
    return [
        Kernel(same[0].name, sorted(kernel.us for kernel in same if kernel.us is not None)[len(same) // 2])
        if all(kernel.us is not None for kernel in same)
        else same[0]
        for same in zip(*found, strict=True)
    ]


@contextmanager
def _silence() -> Iterator[None]:
    """Torch's profiler tells on standard error, past Python, whenever it starts and stops."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _in_order(events: Any, wanted: list[str]) -> list[Kernel]:
    """What the profiler told of each wanted operator. One that it shows under an outer name stands for it."""
    ordered = sorted(events, key=lambda event: event.time_range.start)
    kernels, place = [], 0
    for name in wanted:
        at = next((index for index in range(place, len(ordered)) if ordered[index].name == name), None)
        if at is None:
            kernels.append(Kernel(name, None))
            continue
        place = at + 1
        kernels.append(Kernel(_innermost(ordered[at]), float(ordered[at].cpu_time_total)))
    return kernels


def _innermost(event: Any) -> str:
    """The operator in ``event`` that does the work: inwards, as long as one child takes most of the time."""
    while event.cpu_children:
        child = max(event.cpu_children, key=lambda child: child.cpu_time_total)
        if child.cpu_time_total < event.cpu_time_total / 2:
            break
        event = child
    return str(event.name)
