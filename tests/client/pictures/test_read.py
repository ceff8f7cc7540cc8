"""Ordinary pictures become items as MNIST's were made."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from twinserve_client import ModelInfo
from twinserve_client.pictures.read import MAX_FILE_BYTES, PictureError, PictureRules, read_picture

Pixels = npt.NDArray[np.uint8]

MNIST = PictureRules(shape=(28, 28), mode="L", light_on_dark=True, centre_of_mass=True)


def drawn(
    digit: str, *, ink: Any = 0, paper: Any = 255, mode: str = "L", size: tuple[int, int] = (200, 300)
) -> Image.Image:
    """A digit in a large picture, off its centre."""
    image = Image.new(mode, size, paper)
    ImageDraw.Draw(image).text((30, 20), digit, fill=ink, font=ImageFont.load_default(size=140))
    return image


def item(image: Image.Image, rules: PictureRules = MNIST, **options: Any) -> Pixels:
    """The item of a picture that was saved and read."""
    file = io.BytesIO()
    image.save(file, options.pop("format", "PNG"), **options)
    return read_picture(file.getvalue(), rules)


def box(pixels: Pixels) -> tuple[int, int]:
    """Height and width of the ink."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def difference(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("digit", list("0123456789"))
def test_the_ink_fits_20_pixels_and_is_centred_by_mass(digit: str) -> None:
    pixels = item(drawn(digit))
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    assert pixels.max() == 255
    assert pixels[0, 0] == pixels[-1, -1] == 0
    assert max(box(pixels)) == 20
    weights = pixels / pixels.sum()
    positions = np.arange(28)
    assert abs((weights.sum(axis=1) * positions).sum() - 14) <= 0.55
    assert abs((weights.sum(axis=0) * positions).sum() - 14) <= 0.55


def test_the_aspect_ratio_is_kept() -> None:
    bar = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(bar).rectangle((100, 50, 139, 249), fill=0)
    assert box(item(bar)) == (20, 4)


@pytest.mark.parametrize(
    ("ink", "paper", "mode"),
    [
        (255, 0, "L"),
        (60, 200, "L"),
        (200, 60, "L"),
        ((20, 20, 120), (250, 240, 220), "RGB"),
        ((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
        ((255, 255, 255, 255), (0, 0, 0, 0), "RGBA"),
        ((255, 255, 255, 255), (255, 255, 255, 0), "RGBA"),
        ((0, 255), (0, 0), "LA"),
        ((0, 0, 0, 255), (0, 0, 0, 0), "CMYK"),
    ],
    ids=[
        "white-on-black", "low-contrast", "low-contrast-inverted", "blue-on-cream", "black-on-transparent",
        "white-on-transparent-black", "white-on-transparent-white", "grey-alpha", "cmyk",
    ],
)  # fmt: skip
def test_colours_do_not_matter(ink: Any, paper: Any, mode: str) -> None:
    image = drawn("5", ink=ink, paper=paper, mode=mode)
    pixels = item(image, format="TIFF" if mode == "CMYK" else "PNG")
    assert difference(pixels, item(drawn("5"))) < 6


def test_depths_and_palettes_do_not_matter() -> None:
    plain = item(drawn("4"))
    deep = Image.fromarray(np.asarray(drawn("4")).astype(np.uint16) * 257)
    assert difference(item(deep), plain) < 1
    assert difference(item(drawn("4").convert("1", dither=Image.Dither.NONE)), plain) < 3
    palette = drawn("4", mode="RGB", ink=(0, 0, 0), paper=(255, 255, 255)).convert("P")
    assert difference(item(palette), plain) < 2
    see_through = drawn("4").point(lambda level: 0 if level > 127 else 1).convert("P")
    see_through.putpalette([255, 0, 255, 0, 0, 0])
    assert difference(item(see_through, transparency=0), plain) < 6


def test_a_noisy_photograph_with_shadows_reads_like_a_clean_drawing() -> None:
    rng = np.random.default_rng(3)
    clean = drawn("3", ink=70, paper=190).filter(ImageFilter.GaussianBlur(1))
    light = np.linspace(-40, 40, 300)[:, None] + np.linspace(-20, 20, 200)[None, :]
    photograph = np.clip(np.asarray(clean) + light + rng.normal(0, 5, (300, 200)), 0, 255).astype(np.uint8)
    pixels = item(Image.fromarray(photograph), format="JPEG", quality=70)
    assert difference(pixels, item(drawn("3"))) < 10


def test_the_camera_s_rotation_is_undone() -> None:
    upright = drawn("7", mode="RGB", ink=(0, 0, 0), paper=(255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = item(upright.transpose(Image.Transpose.ROTATE_90), format="JPEG", quality=95, exif=exif)
    assert difference(turned, item(upright)) < 2


def test_a_large_photograph_is_reduced_first() -> None:
    large = drawn("2").resize((4000, 6000))
    assert difference(item(large, format="JPEG"), item(drawn("2"))) < 4


def test_a_picture_of_the_items_size_is_taken_as_it_is() -> None:
    exact = np.zeros((28, 28), np.uint8)
    exact[5:9, 2:5] = 200
    np.testing.assert_array_equal(item(Image.fromarray(exact)), exact)
    np.testing.assert_array_equal(item(Image.fromarray(255 - exact)), exact)


def genuine(count: int) -> Pixels:
    """The first test images of MNIST."""
    file = Path(os.environ["MNIST_ROOT"]) / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    return np.frombuffer(file.read_bytes(), np.uint8, count * 28 * 28, 16).reshape(count, 28, 28)


@pytest.mark.mnist
def test_genuine_digits_survive_a_png_and_come_back_from_an_enlargement() -> None:
    enlarged = []
    for pixels in genuine(50):
        np.testing.assert_array_equal(item(Image.fromarray(pixels)), pixels)
        paper = Image.fromarray(255 - pixels).resize((280, 280), Image.Resampling.BICUBIC)
        enlarged.append(difference(item(paper), pixels))
    assert np.mean(enlarged) < 8


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((32, 40, 3), "RGB"), ((3, 32, 40), "RGB"), ((1, 32, 40), "L"), ((32, 40, 1), "L"), ((32, 40), "L")],
)
def test_other_models_get_their_own_shape(shape: tuple[int, ...], mode: str) -> None:
    rules = PictureRules(shape=shape, mode=mode, light_on_dark=False, centre_of_mass=False)
    colour = Image.new("RGB", (80, 64), (250, 10, 20))
    pixels = item(colour, rules)
    assert pixels.shape == shape
    levels = [pixels.min(), pixels.max()]
    assert levels == ([10, 250] if mode == "RGB" else [83, 83])


def info(shape: tuple[int, ...], manifest: str) -> ModelInfo:
    return ModelInfo("m", "1", shape, ("UINT8",), ("a", "b"), 1, (), ("m",), manifest)


def test_the_rules_come_from_the_manifest() -> None:
    manifest = '{"input": {"image": {"mode": "L", "foreground": "light_on_dark", "centre_of_mass": true}}}'
    assert PictureRules.of(info((28, 28), manifest)) == MNIST


def test_a_model_that_takes_no_pictures_says_so() -> None:
    with pytest.raises(PictureError, match=r"model m: its manifest has no inputs.0\.image"):
        PictureRules.of(info((28, 28), '{"input": {}}'))
    with pytest.raises(PictureError, match=r"items of shape \[7\] are not L pictures"):
        PictureRules.of(info((7,), '{"input": {"image": {"mode": "L", "foreground": "any"}}}'))


def claiming(width: int, height: int) -> bytes:
    """A small file that claims to hold a picture of that size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def png() -> bytes:
    file = io.BytesIO()
    drawn("1").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a readable picture; supported formats: PNG, JPEG"),
        (b"just text", "is not a readable picture"),
        (png()[:300], "is damaged"),
        (claiming(20_000, 20_000), "far more than 64,000,000 pixels, the limit"),
        (claiming(9_000, 9_000), "9000 x 9000 pixels; the limit is 64,000,000 pixels"),
        (bytes(MAX_FILE_BYTES + 1), "33,554,433 bytes; the limit is 33,554,432"),
    ],
    ids=["empty", "text", "truncated", "bomb", "poster", "large"],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "seven.png"
    file.write_bytes(content)
    for source in (file, content):
        with pytest.raises(PictureError, match=message) as caught:
            read_picture(source, MNIST, "seven.png")
        assert str(caught.value).startswith("seven.png: ")


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"nowhere\.png: cannot be read \(No such file or directory\)"):
        read_picture(tmp_path / "nowhere.png", MNIST)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_sheet_says_that_it_shows_nothing(level: int) -> None:
    with pytest.raises(PictureError, match="shows nothing: no pixel differs"):
        item(Image.new("L", (100, 100), level))
    with pytest.raises(PictureError, match="shows nothing"):
        item(Image.new("L", (28, 28), level))
