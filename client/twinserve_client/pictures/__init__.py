"""Pictures (files or PIL images) as SDK input: converted to items as the model's manifest says.

Only these need Pillow (``pip install 'twinserve[cli]'``), which is imported on first use.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from twinserve_client.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from twinserve_client.types import ModelInfo


def holds_pictures(images: object) -> bool:
    """Whether ``images`` is a path (text, too) or a PIL image, or a list that begins with one."""
    if isinstance(images, list | tuple) and images:
        images = images[0]
    # Whoever has a PIL image has imported PIL.
    module: Any = sys.modules.get("PIL.Image")
    return isinstance(images, str | os.PathLike) or (module is not None and isinstance(images, module.Image))


def items_of(images: Any, info: ModelInfo) -> npt.NDArray[Any]:
    """One item, or N for a list, in the model's datatype and range.

    Raises:
        InvalidInputError: a file cannot be read or is not a picture (names it), or the model takes no pictures.
        ConfigurationError: Pillow is not installed.
    """
    try:
        from twinserve_client.pictures.read import PictureError, PictureRules, in_the_models_range, read_all
    except ModuleNotFoundError as missing:
        raise ConfigurationError(f"pictures need {missing.name}: pip install 'twinserve[cli]'") from None
    try:
        rules = PictureRules.of(info)
        listed = images if isinstance(images, list | tuple) else [images]
        items = in_the_models_range(read_all(listed, rules), info)
    except PictureError as error:
        raise InvalidInputError.of("input", str(error)) from error
    return items if isinstance(images, list | tuple) else items[0]
