"""Exemplars: for each bucket of a slab's histograms, the trace of the last request that fell into it.

They are in shared memory next to the slab, one record per cell, written without a lock. A record that is read during a
write is recognised by its two counts and skipped.
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from typing import Final

from twinserve_server.metrics.slab import CELLS

#: Count, value, Unix time, trace id (two halves), span id, count again.
_RECORD: Final = struct.Struct("<QddQQQQ")
SIZE: Final = _RECORD.size * CELLS
_HALF: Final = 64


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One request: what was observed, when (Unix time), and where its trace is."""

    value: float
    timestamp: float
    trace_id: str
    span_id: str


class ExemplarBook:
    """The exemplars of one slab: written by its worker, read by the supervisor."""

    def __init__(self, descriptor: int) -> None:
        """Map the ``SIZE`` bytes of shared memory that ``descriptor`` stands for; all zeros are an empty book."""
        self._map = mmap.mmap(descriptor, SIZE)

    def put(self, cell: int, value: float, trace_id: int, span_id: int) -> None:
        """Remember a request in the bucket that ``cell`` counts."""
        count = _RECORD.unpack_from(self._map, cell * _RECORD.size)[0] + 1
        high, low = trace_id >> _HALF, trace_id & (1 << _HALF) - 1
        _RECORD.pack_into(self._map, cell * _RECORD.size, count, value, time.time(), high, low, span_id, count)

    def forget(self, first: int, count: int) -> None:
        """Forget those of ``count`` cells."""
        self._map[first * _RECORD.size : (first + count) * _RECORD.size] = bytes(count * _RECORD.size)

    def get(self, cell: int) -> Exemplar | None:
        """The last request in the bucket that ``cell`` counts, if there was one."""
        count, value, timestamp, high, low, span_id, again = _RECORD.unpack_from(self._map, cell * _RECORD.size)
        if not count or count != again:
            return None
        return Exemplar(value, timestamp, f"{high << _HALF | low:032x}", f"{span_id:016x}")
