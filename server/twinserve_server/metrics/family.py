"""What a metric is: its name, kind, labels and help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: as exposed, without the ``_total`` or ``_info`` that the exposition adds by kind.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Slab cells of one series: a histogram has a count per bucket, one for +Inf, and the sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1
