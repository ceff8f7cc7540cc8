"""How much of a variant's work there is, or may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    """Counted in three ways, because requests hold any number of images, and images are of any size.

    Attributes:
        requests: whole ones.
        images: in them.
        bytes: of their inputs.
    """

    requests: int
    images: int
    bytes: int

    def share(self, parts: int) -> Amount:
        """One of so many equal parts; at least one of each."""
        return Amount(max(1, self.requests // parts), max(1, self.images // parts), max(1, self.bytes // parts))

    def least(self, other: Amount) -> Amount:
        """Of each the smaller one."""
        return Amount(min(self.requests, other.requests), min(self.images, other.images), min(self.bytes, other.bytes))
