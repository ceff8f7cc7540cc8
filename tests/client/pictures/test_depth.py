"""Pictures of other depths than 8 bits mean what their files mean, or say why they mean nothing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from twinserve_client.pictures.read import PictureError, PictureRules, read_picture

RGB = PictureRules(shape=(4, 4, 3), mode="RGB", light_on_dark=False, centre_of_mass=False)
GREY = PictureRules(shape=(4, 4), mode="L", light_on_dark=False, centre_of_mass=False)
#: From black to white.
RAMP = np.linspace(0, 1, 16).reshape(4, 4)
EXPECTED = np.rint(RAMP * 255)


def tiff(levels: npt.NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "TIFF", **options)
    return file.getvalue()


DEPTHS: dict[str, npt.NDArray[Any]] = {
    "8 bits": (RAMP * 255).round().astype(np.uint8),
    "8 bits in 16": (RAMP * 255).round().astype(np.uint16),
    "10 bits in 16": (RAMP * 1023).round().astype(np.uint16),
    "12 bits in 16": (RAMP * 4095).round().astype(np.uint16),
    "14 bits in 16": (RAMP * 16383).round().astype(np.uint16),
    "16 bits": (RAMP * 65535).round().astype(np.uint16),
    "16 bits in 32": (RAMP * 65535).round().astype(np.int32),
    "float to 1": RAMP.astype(np.float32),
    "float to 255": (RAMP * 255).astype(np.float32),
    "float to 65535": (RAMP * 65535).astype(np.float32),
}


@pytest.mark.parametrize("rules", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_black_stays_black_and_white_white(depth: str, rules: PictureRules) -> None:
    for source in (tiff(DEPTHS[depth]), Image.fromarray(DEPTHS[depth])):
        pixels = read_picture(source, rules).reshape(4, 4, -1)
        assert np.abs(pixels - EXPECTED[:, :, None]).max() <= 1


def test_a_file_may_say_where_white_is() -> None:
    half = (RAMP * 2047).round().astype(np.uint16)
    pixels = read_picture(tiff(half, tiffinfo={281: 4095}), GREY)
    assert abs(int(pixels.max()) - 127) <= 1


@pytest.mark.parametrize("rules", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.inf, "holds NaN or infinite pixels"),
        (-np.inf, "holds NaN or infinite pixels"),
        (np.nan, "holds NaN or infinite pixels"),
        (-0.5, r"holds negative pixels \(down to -0\.5\); black must be 0"),
        (1e6, r"holds pixels up to 1e\+06, beyond the 65535 of 16 bits"),
    ],
)
def test_what_means_no_grey_level_is_refused(value: float, message: str, rules: PictureRules) -> None:
    levels = RAMP.astype(np.float32)
    levels[1, 1] = value
    with pytest.raises(PictureError, match=message):
        read_picture(tiff(levels), rules, "scan.tif")


def test_negative_integers_are_refused() -> None:
    with pytest.raises(PictureError, match="holds negative pixels"):
        read_picture(Image.fromarray(np.full((4, 4), -3, np.int32)), GREY)


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "CMYK", "1", "P", "LA", "PA", "RGBX", "RGBA"])
@pytest.mark.parametrize("rules", [GREY, RGB], ids=["grey", "rgb"])
def test_modes_that_are_understood(mode: str, rules: PictureRules) -> None:
    assert read_picture(Image.new(mode, (8, 8)), rules).shape == rules.shape


@pytest.mark.parametrize("rules", [GREY, RGB], ids=["grey", "rgb"])
def test_a_mode_that_is_not_understood_is_named(rules: PictureRules) -> None:
    with pytest.raises(PictureError, match="mode La is not supported; save it as RGB"):
        read_picture(Image.new("La", (8, 8)), rules)


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(PictureError, match="0 x 5 pixels: it is empty"):
        read_picture(Image.new("L", (0, 5)), GREY)
