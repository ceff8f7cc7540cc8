"""What clients of the Open Inference Protocol call the runtimes: Triton's words for what runs the same files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twinserve_server.artefact.manifest import Variant


@dataclass(frozen=True, slots=True)
class Platform:
    """Triton's ``platform`` and ``backend`` of a model."""

    name: str
    backend: str


#: By the manifest's ``runtime``.
PLATFORMS: Final = {
    "torchscript": Platform("pytorch_libtorch", "pytorch"),
    "onnx": Platform("onnxruntime_onnx", "onnxruntime"),
}


def platform_of(variants: Iterable[Variant]) -> Platform:
    """What runs these variants; of several platforms both words are lists with commas."""
    found = [PLATFORMS[runtime] for runtime in sorted({variant.format for variant in variants})]
    return Platform(",".join(one.name for one in found), ",".join(one.backend for one in found))
