"""Pictures that stand for a test set: digits drawn with a font, turned and blurred; nobody's data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 28


def draw_digit(digit: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One digit, 28 x 28, light on dark."""
    canvas = Image.new("L", (4 * SIDE, 4 * SIDE))
    font = ImageFont.load_default(size=int(rng.integers(84, 100)))
    ImageDraw.Draw(canvas).text((2 * SIDE, 2 * SIDE), str(digit), 255, font, anchor="mm")
    turned = canvas.rotate(float(rng.uniform(-22, 22))).filter(ImageFilter.GaussianBlur(3))
    small = np.asarray(turned.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64)
    return np.clip(small * 1.25, 0, 255).astype(np.uint8)


def draw_digits(labels: npt.NDArray[np.integer[Any]], seed: int = 7) -> npt.NDArray[np.uint8]:
    """N digits, N x 28 x 28."""
    rng = np.random.default_rng(seed)
    return np.stack([draw_digit(int(label), rng) for label in labels])
