"""The metric values of one worker, in memory that outlives the worker.

Every worker slot owns a small block of shared memory that the supervisor reserves and passes on. A worker adds to plain
float64 cells (no lock, no system call); on a scrape the supervisor reads all slabs and sums them. When a worker dies,
even by SIGKILL, its cells remain, and the worker that takes over its slot continues to count in them: no count is lost
and no counter ever decreases.

Layout: ``u64`` generation and bytes of index in use (32 bits each), ``u64`` cells in use, two indexes, the cells. An
index has a JSON line per series: family, label values, first cell, number of cells. A series is published by raising
the first number once its line and cells are in place. To remove series, the worker writes the other index without them
and then increments the generation, which switches to that index: a reader sees one or the other, whenever the worker
dies.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twinserve_server.metrics.exemplars import ExemplarBook

#: Space costs nothing until it is written.
INDEX_BYTES: Final = 4 << 20
CELLS: Final = 64 << 10
_HEAD: Final = 16
_CELLS_AT: Final = _HEAD + 2 * INDEX_BYTES
_USED_BITS: Final = 32
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
        self._generation = self._parsed_bytes = 0
        self._series: dict[tuple[str, tuple[str, ...]], Series] = {}
        #: Free cells between series: (first, how many). None: not searched yet.
        self._gaps: list[tuple[int, int]] | None = None
        # Scrapes come in threads of their own.
        self._parsing = threading.Lock()

    def series(self) -> list[Series]:
        """Every series that is published."""
        return self._published()[1]

    def values(self) -> list[tuple[Series, list[float]]]:
        """Every series and its cells; no cell has gone to another series meanwhile."""
        while True:
            generation, published = self._published()
            found = [(series, list(self.cells[series.start : series.start + series.count])) for series in published]
            if self._head[0] >> _USED_BITS == generation:
                return found

    def allocate(self, family: str, labels: tuple[str, ...], count: int) -> int:
        """The first of ``count`` cells of a series, published if it is new; for the writing worker.

        Raises:
            MemoryError: the slab is full (a label whose values never end).
        """
        with self._parsing:
            self._parse()
            if (found := self._series.get((family, labels))) is not None:
                return found.start
            start = self._room(count)
            line = _line(Series(family, labels, start, count))
            used = self._parsed_bytes
            if used + len(line) > INDEX_BYTES or start + count > CELLS:
                raise MemoryError(f"metrics: no room for another series of {family}{labels}")
            at = self._index_at(self._generation) + used
            self._map[at : at + len(line)] = line
            self._head[1] = max(self._head[1], start + count)
            self._head[0] = self._generation << _USED_BITS | used + len(line)
            self._parse()
            return start

    def remove(self, unwanted: Callable[[Series], bool]) -> list[Series]:
        """Take series away and free their cells, which nobody may write to any more; for the writing worker."""
        with self._parsing:
            self._parse()
            gone = [series for series in self._series.values() if unwanted(series)]
            if gone:
                index = b"".join(_line(series) for series in self._series.values() if not unwanted(series))
                at = self._index_at(self._generation + 1)
                self._map[at : at + len(index)] = index
                self._head[0] = (self._generation + 1) << _USED_BITS | len(index)
                self._parse()
                self._gaps = None
            return gone

    def _published(self) -> tuple[int, list[Series]]:
        with self._parsing:
            self._parse()
            return self._generation, list(self._series.values())

    def _parse(self) -> None:
        """Read what has been published since the last time."""
        while (head := self._head[0]) != self._generation << _USED_BITS | self._parsed_bytes:
            generation, used = head >> _USED_BITS, head & (1 << _USED_BITS) - 1
            begin = self._parsed_bytes if generation == self._generation else 0
            at = self._index_at(generation)
            text = bytes(self._map[at + begin : at + used])
            if self._head[0] >> _USED_BITS != generation:
                continue
            if not begin:
                self._series = {}
            for line in text.splitlines():
                family, labels, start, count = json.loads(line)
                self._series[family, tuple(labels)] = Series(family, tuple(labels), start, count)
            self._generation, self._parsed_bytes = generation, used

    def _room(self, count: int) -> int:
        """The first of ``count`` cells that no series has."""
        if self._gaps is None:
            self._gaps, end = [], 0
            for series in sorted(self._series.values(), key=lambda series: series.start):
                if series.start > end:
                    self._gaps.append((end, series.start - end))
                end = series.start + series.count
            self._head[1] = end
        for index, (start, size) in enumerate(self._gaps):
            if size >= count:
                self._gaps[index] = (start + count, size - count)
                for cell in range(start, start + count):
                    self.cells[cell] = 0.0
                return start
        return self._head[1]

    @staticmethod
    def _index_at(generation: int) -> int:
        return _HEAD + generation % 2 * INDEX_BYTES

    def close(self) -> None:
        """Unmap it."""
        self.cells.release()
        self._head.release()
        self._map.close()


def _line(series: Series) -> bytes:
    return json.dumps([series.family, series.labels, series.start, series.count]).encode() + b"\n"
