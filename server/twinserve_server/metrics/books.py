"""The metrics of every process of a server, in memory that the supervisor reserves and hands down."""

from __future__ import annotations

import os
from dataclasses import dataclass

from twinserve_server.metrics import exemplars, slab
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.shared_memory import reserve
from twinserve_server.metrics.slab import Slab


@dataclass(frozen=True, slots=True)
class Handed:
    """The descriptors of one process's memory; ``exemplars`` -1: it keeps none."""

    slab: int
    exemplars: int = -1

    @property
    def all(self) -> list[int]:
        """Those that there are."""
        return [descriptor for descriptor in (self.slab, self.exemplars) if descriptor >= 0]


class Books:
    """One slab a process, by its name."""

    def __init__(self) -> None:
        self._slabs: dict[str, Slab] = {}
        self._handed: dict[str, Handed] = {}

    @property
    def slabs(self) -> list[Slab]:
        """Every slab."""
        return list(self._slabs.values())

    def open(self, process: str, traces: bool = False) -> Handed:
        """The memory of ``process``, reserved at the first time, which it and those that follow it are handed.

        Raises:
            SharedMemoryError: there is no room.
        """
        if process in self._handed:
            return self._handed[process]
        handed = Handed(
            reserve(f"{process} metrics", slab.SIZE),
            reserve(f"{process} exemplars", exemplars.SIZE) if traces else -1,
        )
        self._handed[process] = handed
        self._slabs[process] = Slab(handed.slab)
        if traces:
            self._slabs[process].exemplars = ExemplarBook(handed.exemplars)
        return handed

    def slab(self, process: str) -> Slab:
        """The slab of ``process``."""
        return self._slabs[process]

    def drop(self, process: str) -> None:
        """Let go of the memory of a process that has ended and will not start again, and of what it counted."""
        self._slabs.pop(process, None)
        if (handed := self._handed.pop(process, None)) is not None:
            for descriptor in handed.all:
                os.close(descriptor)

    def close(self) -> None:
        """Let go of the descriptors; what is mapped stays."""
        for handed in self._handed.values():
            for descriptor in handed.all:
                os.close(descriptor)
        self._handed.clear()
