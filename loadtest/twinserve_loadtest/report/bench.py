"""The file of ``twinserve models bench``: every artefact over the whole test set in one process, no server."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from twinserve_loadtest.record.wire import first_fault, from_plain


class BenchError(Exception):
    """A bench file that cannot be read; the message names the file and the field."""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One variant. ``seconds`` for the whole test set: by batch size, every repeat."""

    variant: str
    bytes: int
    correct: int
    total: int
    seconds: dict[int, list[float]]

    def medians(self) -> dict[int, float]:
        """Batch size → the median of its repeats."""
        return {size: statistics.median(repeats) for size, repeats in self.seconds.items() if repeats}


@dataclass(frozen=True, slots=True)
class Bench:
    """What a report takes from the file."""

    model: str
    version: str
    dataset: dict[str, Any]
    threads: int
    repeats: int
    runtime: dict[str, Any]
    rows: list[BenchRow]

    def row(self, variant: str) -> BenchRow | None:
        """The row of ``variant``."""
        return next((row for row in self.rows if row.variant == variant), None)


def parse_bench(document: Any, source: str) -> Bench:
    """The object under the key ``bench``.

    Raises:
        BenchError: a field breaks the schema.
    """
    try:
        return from_plain(Bench, document)
    except ValidationError as error:
        raise BenchError(f"{source}: bench, {first_fault(error)}") from None
