"""The values of one worker's metrics, in memory that outlives the worker.

Every worker slot owns a small piece of shared memory that the supervisor reserves and hands down. A worker adds to
plain float64 cells (no lock, no system call); the supervisor reads all slabs when it is scraped and sums them. When a
worker dies, even by SIGKILL, its cells stand, and the worker that takes its slot goes on counting in them: no count is
lost and no counter ever falls.

Layout: ``u64`` bytes of index in use, ``u64`` cells in use, the index (a JSON line a series: family, label values,
first cell, cells), the cells. A series is published by raising the first number after its line and cells are there.
"""

from __future__ import annotations

import json
import mmap
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twinserve_server.metrics.exemplars import ExemplarBook

#: Room costs nothing until it is written.
INDEX_BYTES: Final = 4 << 20
CELLS: Final = 64 << 10
_HEAD: Final = 16
_CELLS_AT: Final = _HEAD + INDEX_BYTES
SIZE: Final = _CELLS_AT + 8 * CELLS


@dataclass(frozen=True, slots=True)
class Series:
    """Where one labelled series lies."""

    family: str
    labels: tuple[str, ...]
    start: int
    count: int


class Slab:
    """A mapped slab: read by the supervisor, written by one worker at a time."""

    def __init__(self, descriptor: int) -> None:
        """Map the ``SIZE`` bytes of shared memory that ``descriptor`` stands for; all zeros are an empty slab."""
        self._map = mmap.mmap(descriptor, SIZE)
        self._head = memoryview(self._map)[:_HEAD].cast("Q")
        self.cells: memoryview[float] = memoryview(self._map)[_CELLS_AT:].cast("d")
        #: Of traced requests, while there are traces.
        self.exemplars: ExemplarBook | None = None
        self._parsed_bytes = 0
        self._series: list[Series] = []
        # Scrapes come in threads of their own.
        self._parsing = threading.Lock()

    def series(self) -> list[Series]:
        """Every series published so far."""
        with self._parsing:
            used = self._head[0]
            if used > self._parsed_bytes:
                text = bytes(self._map[_HEAD + self._parsed_bytes : _HEAD + used])
                for line in text.splitlines():
                    family, labels, start, count = json.loads(line)
                    self._series.append(Series(family, tuple(labels), start, count))
                self._parsed_bytes = used
            return list(self._series)

    def allocate(self, family: str, labels: tuple[str, ...], count: int) -> int:
        """The first of ``count`` cells of a series, published if it is new; for the writing worker.

        Raises:
            MemoryError: the slab is full (a label whose values never end).
        """
        for series in self.series():
            if series.family == family and series.labels == labels:
                return series.start
        used, start = self._head
        line = json.dumps([family, labels, start, count]).encode() + b"\n"
        if used + len(line) > INDEX_BYTES or start + count > CELLS:
            raise MemoryError(f"metrics: no room for another series of {family}{labels}")
        self._map[_HEAD + used : _HEAD + used + len(line)] = line
        self._head[1] = start + count
        self._head[0] = used + len(line)
        return start

    def close(self) -> None:
        """Unmap it."""
        self.cells.release()
        self._head.release()
        self._map.close()
