"""Convert an ordinary picture file into one item of a model, as the model's manifest says.

For a model like MNIST (``centre_of_mass``) this follows the way MNIST itself was made (LeCun, Cortes, Burges: "the
images were centered in a 28x28 image by computing the center of mass of the pixels"): grey, the ink fitted into 20/28
of the side with its aspect ratio kept, then moved so that its centre of mass is the centre of the item.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from twinserve_client.errors import TwinserveError
from twinserve_client.pictures.depth import DepthError, eight_bits
from twinserve_client.pictures.ink import NoInkError, ink_on_black, place_by_mass
from twinserve_client.types import ModelInfo

Pixels = npt.NDArray[np.uint8]

FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
TRANSPARENT_MODES: Final = ("LA", "PA", "RGBA", "RGBa")
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
MAX_PIXELS: Final = 64_000_000
#: Larger pictures are first scaled down to this; a digit needs no more.
WORKING_SIDE: Final = 1024


class PictureError(TwinserveError, ValueError):
    """A file cannot be converted; the message names the file, the cause and the limit."""


@dataclass(frozen=True, slots=True)
class PictureRules:
    """What the manifest says about pictures.

    Attributes:
        shape: of one item.
        mode: "L" (grey) or "RGB".
        light_on_dark: the foreground must be lighter than the background; otherwise the picture is inverted.
        centre_of_mass: fit and centre the ink as in MNIST.
    """

    shape: tuple[int, ...]
    mode: str
    light_on_dark: bool
    centre_of_mass: bool

    @classmethod
    def of(cls, info: ModelInfo) -> PictureRules:
        """The rules of a served model.

        Raises:
            PictureError: its manifest does not say how to convert pictures, or its items are not pictures.
        """
        try:
            image = info.first_input["image"]
            rules = cls(
                info.item_shape,
                image["mode"],
                image["foreground"] == "light_on_dark",
                image.get("centre_of_mass", False),
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise PictureError(
                f"model {info.model}: its manifest has no inputs.0.image, so it takes no pictures; "
                "send arrays with twinserve_client.Client"
            ) from None
        rules.size  # noqa: B018  (checks the shape)
        return rules

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of one item in pixels."""
        channels = 3 if self.mode == "RGB" else 1
        shape = self.shape
        if len(shape) == 2 and channels == 1:
            return shape[1], shape[0]
        if len(shape) == 3 and shape[2] == channels:
            return shape[1], shape[0]
        if len(shape) == 3 and shape[0] == channels:
            return shape[2], shape[1]
        raise PictureError(f"items of shape {list(shape)} are not {self.mode} pictures")


def read_picture(source: Path | bytes | Image.Image, rules: PictureRules, name: str = "") -> Pixels:
    """Read one item, as uint8 of the item shape.

    A picture that already has the item's size is used unchanged, except for inversion.

    Args:
        source: a file, its content, or a PIL image.
        rules: what the manifest says.
        name: the picture's name in errors; the file's name if empty.

    Raises:
        PictureError: the file is missing, too large, not a picture, damaged, or shows nothing.
    """
    name = name or (str(source) if isinstance(source, Path) else "picture")
    image = _plain(_opened(source, name), name)
    exact = image.size == rules.size
    if rules.mode == "RGB":
        return _shaped(np.asarray(ImageOps.fit(image.convert("RGB"), rules.size)), rules)
    grey = _grey(image)
    try:
        if rules.centre_of_mass and not exact:
            return _shaped(place_by_mass(ink_on_black(grey, clean=True), rules.size), rules)
        if rules.light_on_dark:
            grey = ink_on_black(grey, clean=False)
    except NoInkError as error:
        raise PictureError(f"{name}: {error}") from None
    return _shaped(np.asarray(ImageOps.fit(Image.fromarray(grey), rules.size)), rules)


def read_all(sources: Sequence[object], rules: PictureRules) -> Pixels:
    """Read N items from paths (strings, too) and PIL images.

    Raises:
        PictureError: as for ``read_picture``, or one is of another type.
    """
    items = []
    for place, source in enumerate(sources):
        if isinstance(source, Image.Image):
            items.append(read_picture(source, rules, getattr(source, "filename", "") or f"picture {place}"))
        elif isinstance(source, str | os.PathLike):
            items.append(read_picture(Path(source), rules))
        else:
            raise PictureError(f"picture {place}: is of type {type(source).__name__}; give paths or PIL images")
    return np.stack(items)


def in_the_models_range(items: Pixels, info: ModelInfo) -> npt.NDArray[Any]:
    """uint8 items unchanged, or as FP32 in the manifest's range for a model that does not take uint8."""
    if "UINT8" in info.datatypes:
        return items
    low, high = info.value_range or (0.0, 1.0)
    return (low + items.astype(np.float32) * ((high - low) / 255)).astype(np.float32)


def _opened(source: Path | bytes | Image.Image, name: str) -> Image.Image:
    """The picture, decoded and upright."""
    try:
        image = source if isinstance(source, Image.Image) else _decoder(source, name)
        width, height = image.size
        if not width * height:
            raise PictureError(f"{name}: {width} x {height} pixels: it is empty")
        if width * height > MAX_PIXELS:
            raise PictureError(
                f"{name}: {width} x {height} pixels; the limit is {MAX_PIXELS:,} pixels; make it smaller first"
            )
        sixteen_bits = any(";16" in str(getattr(tile, "args", "")) for tile in getattr(image, "tile", ()))
        image.draft(None, (WORKING_SIDE, WORKING_SIDE))
        image.load()
        image = ImageOps.exif_transpose(image)
        image.info["sixteen_bits"] = sixteen_bits
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: far more than {MAX_PIXELS:,} pixels, the limit; make it smaller first") from None
    except UnidentifiedImageError:
        raise PictureError(f"{name}: is not a readable picture; supported formats: {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{name}: is damaged ({error})") from None
    return image


def _decoder(source: Path | bytes, name: str) -> Image.Image:
    content = source if isinstance(source, bytes) else _read(source, name)
    if len(content) > MAX_FILE_BYTES:
        raise PictureError(_too_large(name, len(content)))
    with warnings.catch_warnings():
        # Pillow warns about large pictures and rejects the largest; our pixel limit says it better.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(content), formats=FORMATS)


def _read(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:  # a pipe or a device may have no end
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PictureError(f"{name}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise PictureError(f"{name!r:.80}: is not a file name ({error})") from None
    if len(content) > MAX_FILE_BYTES:
        raise PictureError(_too_large(name, max(size, len(content))))
    return content


def _too_large(name: str, size: int) -> str:
    return f"{name}: {size:,} bytes; the limit is {MAX_FILE_BYTES:,}; make it smaller first"


def _plain(image: Image.Image, name: str) -> Image.Image:
    """8 bits per channel, grey or RGB, without transparency."""
    try:
        plain = _flatten(eight_bits(image))
        return plain if plain.mode in ("L", "RGB") else plain.convert("L" if plain.mode == "1" else "RGB")
    except DepthError as error:
        raise PictureError(f"{name}: {error}") from None
    except ValueError:
        raise PictureError(f"{name}: mode {image.mode} is not supported; save it as RGB") from None


def _grey(image: Image.Image) -> Pixels:
    """Grey levels 0..255, at most ``WORKING_SIDE`` per side."""
    grey = image.convert("L")
    grey.thumbnail((WORKING_SIDE, WORKING_SIDE))
    return np.asarray(grey)


def _flatten(image: Image.Image) -> Image.Image:
    """Without transparency: on white if the drawing is dark, on black if it is light."""
    if image.mode not in TRANSPARENT_MODES and "transparency" not in image.info:
        return image
    drawn = image.convert("RGBA")
    levels = np.asarray(drawn.convert("L"), np.float64)
    alpha = np.asarray(drawn.getchannel("A"), np.float64)
    dark = alpha.sum() == 0 or (levels * alpha).sum() / alpha.sum() < 128
    ground = Image.new("RGBA", drawn.size, "white" if dark else "black")
    return Image.alpha_composite(ground, drawn).convert("RGB")


def _shaped(pixels: npt.NDArray[Any], rules: PictureRules) -> Pixels:
    if pixels.ndim == 3 and rules.shape[0] == 3 and rules.shape[2] != 3:
        pixels = np.moveaxis(pixels, 2, 0)
    return np.ascontiguousarray(pixels.reshape(rules.shape), np.uint8)
