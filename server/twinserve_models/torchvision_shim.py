"""Lets torchvision's datasets be imported beside a CPU-only torch.

The torchvision wheel on PyPI is built for CUDA; beside a CPU build of torch its C++ operators do not load, and
``import torchvision`` ends with ``operator torchvision::nms does not exist``, although datasets and transforms use
none of them. Declaring the schemas of the two operators that are looked up at import is enough.
"""

from __future__ import annotations

from types import ModuleType

import torch

#: The operators that ``torchvision._meta_registrations`` looks up, as torchvision declares them.
SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# The declarations exist as long as this object.
_library: torch.library.Library | None = None


def import_datasets() -> ModuleType:
    """Import ``torchvision.datasets``, declaring the missing operators when, and only when, that is needed."""
    try:
        from torchvision import datasets  # noqa: PLC0415
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare()
        from torchvision import datasets  # noqa: PLC0415
    return datasets  # type: ignore[no-any-return]


def _declare() -> None:
    global _library  # noqa: PLW0603
    _library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS.values():
        _library.define(schema)
