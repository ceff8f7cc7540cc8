"""What a slow machine left out of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reduction:
    """What was left out of training: the manifest's ``training.reduced``."""

    images: int
    of_images: int
    epochs: int
    of_epochs: int

    def __str__(self) -> str:
        return (
            f"trained on {self.images:,} of {self.of_images:,} images for {self.epochs} of {self.of_epochs} epochs, as "
            "more would have taken too long on this machine; `twinserve models build --full --force` trains on all"
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in ("images", "of_images", "epochs", "of_epochs")}
