"""Convert pictures with more than 8 bits per channel to 8 bits: which value is white, and what cannot be known."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

#: White in integer pictures of 8, 10, 12, 14 and 16 bits. Cameras and scanners store the odd depths in 16 bits.
_WHITES: Final = (255, 1023, 4095, 16383, 65535)
#: TIFF tag with the white level.
_MAX_SAMPLE_VALUE: Final = 281


class DepthError(ValueError):
    """The picture's values cannot be interpreted as grey levels."""


def eight_bits(image: Image.Image) -> Image.Image:
    """``image`` with 8 bits per channel; returned unchanged if it has them already.

    White is what the file says, or else, for integers, the smallest common depth that holds the brightest pixel, and
    for floating point 1, 255 or 65535.

    Raises:
        DepthError: a value is not finite, negative, or beyond 16 bits.
    """
    if image.mode[0] not in "IF":
        _refuse_lost_bits(image)
        return image
    levels = np.asarray(image, np.float64)
    if not np.isfinite(levels).all():
        raise DepthError("holds NaN or infinite pixels")
    low, high = float(levels.min()), float(levels.max())
    if low < 0:
        raise DepthError(f"holds negative pixels (down to {low:g}); black must be 0")
    return Image.fromarray(np.rint(levels * (255 / _white(image, high))).astype(np.uint8))


def _white(image: Image.Image, high: float) -> float:
    tags: Any = getattr(image, "tag_v2", {})
    said = tags.get(_MAX_SAMPLE_VALUE)
    said = said[0] if isinstance(said, tuple) and said else said
    if isinstance(said, int | float) and 0 < high <= said:
        return float(said)
    if image.mode[0] == "F" and high <= 1:
        return 1.0
    whites = (255, 65535) if image.mode[0] == "F" else _WHITES
    for white in whites:
        if high <= white:
            return white
    raise DepthError(f"holds pixels up to {high:g}, beyond the 65535 of 16 bits; scale it first")


def _refuse_lost_bits(image: Image.Image) -> None:
    """Reject 12 bits stored in 16: Pillow keeps the upper 8 bits of a colour channel, so almost nothing is left."""
    if not image.info.get("sixteen_bits"):
        return
    levels: npt.NDArray[Any] = np.asarray(image)
    if 0 < levels.max() < 16:
        raise DepthError("uses 12 or fewer of the 16 bits of a colour channel; save it with 8 bits, or with all 16")
