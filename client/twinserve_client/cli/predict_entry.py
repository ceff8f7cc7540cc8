"""What ``twinserve predict --json`` says about every answer, of pictures or of named tensors."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinserve_client import Prediction


def as_entry(prediction: Prediction) -> dict[str, Any]:
    """What answered, why, under which request id, and the time in each stage in seconds."""
    return {
        "model": prediction.model,
        "version": prediction.version,
        "variant": prediction.variant,
        "sha256": prediction.sha256,
        "route": prediction.route,
        "request_id": prediction.request_id,
        "timing": asdict(prediction.timing),
    }
