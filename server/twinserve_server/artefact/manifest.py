"""The artefacts of a model version and the manifest that describes them.

``models/<model>/<version>/manifest.json`` lies beside the files it names. Its form is
``manifest.schema.json`` (JSON Schema 2020-12); everything that is specific to a model (shape, datatype,
labels, preprocessing) is read from it and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
import reprlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from twinserve_server.artefact.files import open_inside, size_of
from twinserve_server.artefact.schema import validate_manifest
from twinserve_server.artefact.strict_json import parse_json
from twinserve_server.errors import ArtefactError

MANIFEST_NAME = "manifest.json"

DataType = Literal["UINT8", "FP32"]
ITEM_SIZE: Final[dict[DataType, int]] = {"UINT8": 1, "FP32": 4}
#: Where a manifest states no range: every byte, and what pictures usually become.
DEFAULT_RANGES: Final[dict[DataType, tuple[float, float]]] = {"UINT8": (0, 255), "FP32": (0, 1)}
_FLOAT32_MAX: Final = (2 - 2**-23) * 2.0**127
#: The least and the greatest value of a datatype.
EVERY_VALUE: Final[dict[DataType, tuple[float, float]]] = {"UINT8": (0, 255), "FP32": (-_FLOAT32_MAX, _FLOAT32_MAX)}
#: One batch is one frame to the model process, and one allocation there.
MAX_BATCH_BYTES: Final = 1 << 30
#: Sixty-five thousand labels fit; a wrong file in its place does not fill the memory.
MAX_MANIFEST_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Variant:
    """One artefact: the file, its hash and how to run it.

    Attributes:
        format: which runtime runs it (``model/<format>.py``).
        on_demand: served only where the options name it.
        quantized_engine: the manifest's ``engine``, torch's backend for quantised operators; ``none``: no matter which.
    """

    name: str
    path: str
    sha256: str
    bytes: int
    format: str = "torchscript"
    quantized_engine: str = "none"
    max_batch_size: int = 64
    quantization: str = "none"
    parameter_bytes: int = 0
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """What a manifest says, in the form the server needs."""

    model: str
    version: str
    item_shape: tuple[int, ...]
    datatypes: tuple[DataType, ...]
    output_kind: Literal["probabilities", "logits"]
    labels: tuple[str, ...]
    variants: dict[str, Variant]
    #: The values that are meant, by datatype, least and greatest; a datatype that is missing takes every finite one.
    ranges: dict[DataType, tuple[float, float]] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    manifest_json: str = "{}"

    @property
    def item_elements(self) -> int:
        """Elements of one item: the product of its shape."""
        return math.prod(self.item_shape)

    def item_bytes(self, datatype: DataType) -> int:
        """Bytes of one item."""
        return self.item_elements * ITEM_SIZE[datatype]

    def range_of(self, datatype: DataType) -> tuple[float, float]:
        """The least and the greatest value that is meant, stated or usual."""
        return self.ranges.get(datatype, DEFAULT_RANGES[datatype])

    @property
    def classes(self) -> int:
        """How many classes the model tells apart."""
        return len(self.labels)


def read_manifest(folder: Path) -> ModelVersion:
    """Read and validate ``folder/manifest.json``; the artefact files must be there.

    Raises:
        ArtefactError: in one line, with the file and the field: the manifest is missing, malformed, or names a file
            that cannot be used.
    """
    path = folder / MANIFEST_NAME
    with open_inside(folder, MANIFEST_NAME) as file:
        if (size := size_of(file)) > MAX_MANIFEST_BYTES:
            raise ArtefactError(f"{path}: holds {size} bytes; the limit is {MAX_MANIFEST_BYTES}")
        data = file.read(MAX_MANIFEST_BYTES)
    manifest = parse_json(data, str(path))
    validate_manifest(manifest, str(path))
    for name, value in (("model", folder.parent.name), ("version", folder.name)):
        if manifest[name] != value:
            raise ArtefactError(f"{path}: field {name}: is {manifest[name]!r}, but the folder is {value!r}")
    return ModelVersion(
        model=manifest["model"],
        version=manifest["version"],
        item_shape=_item_shape(manifest, path),
        datatypes=tuple(manifest["input"]["datatypes"]),
        output_kind=manifest["output"]["kind"],
        labels=tuple(manifest["output"]["labels"]),
        variants={name: _variant(name, entry, folder) for name, entry in manifest["variants"].items()},
        ranges=_ranges(manifest, path),
        dataset=manifest.get("dataset", {}),
        runtime=manifest.get("runtime", {}),
        manifest_json=data.decode(),
    )


def manifest_digest(manifest_json: str) -> bytes:
    """What tells one manifest from another: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(manifest_json.encode()).digest()[:8]


def _variant(name: str, entry: dict[str, Any], folder: Path) -> Variant:
    path = folder / entry["file"]
    try:
        with open_inside(folder, entry["file"]):
            pass
    except ArtefactError as error:
        said = error.message.replace(f"{path}: ", f"{path} ", 1)
        raise ArtefactError(f"{folder / MANIFEST_NAME}: field variants.{name}.file: {said}") from None
    return Variant(
        name=name,
        path=str(path),
        sha256=entry["sha256"],
        bytes=entry["bytes"],
        format=entry["format"],
        quantized_engine=entry.get("engine", "none"),
        max_batch_size=entry.get("max_batch_size", 64),
        quantization=entry.get("quantization", {}).get("method", "none"),
        parameter_bytes=entry.get("parameter_bytes", 0),
        on_demand=entry.get("on_demand", False),
    )


def _item_shape(manifest: dict[str, Any], path: Path) -> tuple[int, ...]:
    shape = tuple(manifest["input"]["shape"])
    size = math.prod(shape) * max(ITEM_SIZE[datatype] for datatype in manifest["input"]["datatypes"])
    if size > MAX_BATCH_BYTES:
        raise ArtefactError(
            f"{path}: field input.shape: one item of {list(shape)} has {size} bytes; the limit is {MAX_BATCH_BYTES}"
        )
    return shape


def _ranges(manifest: dict[str, Any], path: Path) -> dict[DataType, tuple[float, float]]:
    ranges: dict[DataType, tuple[float, float]] = {}
    for datatype, (low, high) in manifest["input"].get("ranges", {}).items():
        least, greatest = EVERY_VALUE[datatype]
        if not least <= low < high <= greatest:
            raise ArtefactError(
                f"{path}: field input.ranges.{datatype}: is {reprlib.repr([low, high])}; the least value and a "
                f"greater one are wanted, both within {least:g}..{greatest:g}"
            )
        ranges[datatype] = (float(low), float(high))
    return ranges
