"""The slabs of all processes as one account."""

from __future__ import annotations

from collections.abc import Iterable

from twinserve_server.metrics.slab import Slab

#: Values of one family: label values -> cells.
Values = dict[tuple[str, ...], list[float]]


def add_slabs(values: dict[str, Values], slabs: Iterable[Slab]) -> dict[str, Values]:
    """Add every series of ``slabs`` to ``values``, by the name of its family, and return them."""
    for slab in slabs:
        for series, cells in slab.values():
            family = values.setdefault(series.family, {})
            present = family.get(series.labels)
            family[series.labels] = cells if present is None else [a + b for a, b in zip(present, cells, strict=True)]
    return values
