"""Ink: the strokes in a grey picture, made light on black and placed in an item."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.float64]

#: Grey levels by which ink must differ from the background.
LEAST_CONTRAST: Final = 20
#: The background is estimated at this size, where no stroke is wider than ``STROKE`` pixels (a third of the side).
GROUND_SIDE: Final = 64
STROKE: Final = 21
#: MNIST fits the ink into 20 of 28 pixels.
FIT: Final = 20 / 28


class NoInkError(ValueError):
    """The picture shows nothing: every pixel is nearly the same."""


def ink_on_black(grey: Pixels, *, clean: bool) -> Pixels:
    """``grey`` with light ink on a dark background, whichever way round it was.

    The background is the median of the border; ink is what differs most from it.

    Args:
        grey: levels 0..255, height x width.
        clean: also set the background to exactly 0 and stretch the ink to 255, as for a photograph; False: invert at
            most.

    Raises:
        NoInkError: nothing differs from the background by ``LEAST_CONTRAST`` levels.
    """
    ground = float(np.median(_border(grey)))
    low, high = np.percentile(grey, (0.1, 99.9))
    if max(high - ground, ground - low) < LEAST_CONTRAST:
        low, high = float(grey.min()), float(grey.max())
    if max(high - ground, ground - low) < LEAST_CONTRAST:
        raise NoInkError(
            f"shows nothing: no pixel differs from the background by {LEAST_CONTRAST} of 255 grey levels; "
            "is the picture empty, or the ink too faint?"
        )
    dark_ink = ground - low > high - ground
    if not clean:
        return np.asarray(255 - grey if dark_ink else grey, np.uint8)
    light = np.asarray(255 - grey if dark_ink else grey, np.uint8)
    ink = np.clip(light.astype(np.float64) - _ground(light), 0, None)
    ink[ink < _otsu(ink) / 2] = 0
    return _stretched(ink)


def place_by_mass(ink: Pixels, size: tuple[int, int]) -> Pixels:
    """Fit the ink into 20/28 of an item, with its centre of mass in the middle.

    Args:
        ink: light on black.
        size: width and height of the item.
    """
    width, height = size
    rows, columns = np.flatnonzero(ink.max(axis=1)), np.flatnonzero(ink.max(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(round(width * FIT) / cut.shape[1], round(height * FIT) / cut.shape[0])
    fitted = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    small = np.asarray(Image.fromarray(cut).resize(fitted, Image.Resampling.LANCZOS), np.float64)
    small = small * (255 / small.max())
    top = _offset(small.sum(axis=1), height)
    left = _offset(small.sum(axis=0), width)
    item = np.zeros((height, width), np.uint8)
    item[top : top + small.shape[0], left : left + small.shape[1]] = np.rint(small)
    return item


def _ground(light: Pixels) -> Levels:
    """The background under light ink, shadows included: a morphological opening wider than any stroke, smoothed."""
    image = Image.fromarray(light)
    small = image.copy()
    small.thumbnail((GROUND_SIDE, GROUND_SIDE), Image.Resampling.BOX)
    # Slopes go on beyond the edge; without that an opening cuts them off there.
    around = np.pad(np.asarray(small, np.float64), STROKE, mode="reflect", reflect_type="odd")
    padded = Image.fromarray(np.clip(around, 0, 255).astype(np.uint8))
    opened = padded.filter(ImageFilter.MinFilter(STROKE)).filter(ImageFilter.MaxFilter(STROKE))
    smooth = opened.filter(ImageFilter.GaussianBlur(STROKE / 4))
    inner = smooth.crop((STROKE, STROKE, STROKE + small.width, STROKE + small.height))
    return np.asarray(inner.resize(image.size, Image.Resampling.BILINEAR), np.float64)


def _offset(mass: Levels, room: int) -> int:
    """Where the ink must start for its centre of mass to be the middle pixel of ``room``, with all of it inside.

    In MNIST that is pixel 14, counted from 0: the mean over its 10,000 test images is 13.99 and 14.01.
    """
    centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
    return min(max(0, round(room / 2 - centre)), room - len(mass))


def _border(grey: Pixels) -> Pixels:
    """The outermost pixels, a thirtieth of the side deep."""
    depth = max(1, min(grey.shape) // 30)
    inner = np.ones(grey.shape, bool)
    inner[depth:-depth, depth:-depth] = False
    return grey[inner]


def _stretched(ink: Levels) -> Pixels:
    """Stretched to 0..255; the lightest thousandth may saturate."""
    top = np.percentile(ink[ink > 0], 99)
    return np.rint(np.clip(ink * (255 / top), 0, 255)).astype(np.uint8)


def _otsu(ink: Levels) -> float:
    """The threshold between ink and background with the largest between-class variance (N. Otsu, 1979)."""
    counts, edges = np.histogram(ink, 64)
    levels = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(edges[1:][np.nanargmax(between)])
