"""The artefacts of a model version and the manifest that describes them.

``models/<model>/<version>/manifest.json`` is next to the files it names. Its format is
``manifest.schema.json`` (JSON Schema 2020-12); everything that is specific to a model (tensors, labels,
preprocessing) is read from it and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
import reprlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from twinserve_server.artefact.datatypes import DEFAULT_RANGES, EVERY_VALUE, ITEM_SIZE, PIXEL_TYPES, DataType
from twinserve_server.artefact.files import open_inside, size_of
from twinserve_server.artefact.schema import validate_manifest
from twinserve_server.artefact.signature import FREE, Signature, TensorSpec
from twinserve_server.artefact.strict_json import parse_json
from twinserve_server.artefact.upgrade import upgraded
from twinserve_server.errors import ArtefactError

MANIFEST_NAME = "manifest.json"

#: The smallest and largest meaningful value, by datatype.
Ranges = dict[DataType, tuple[float, float]]

#: A batch is one frame to the model process, and one allocation there.
MAX_BATCH_BYTES: Final = 1 << 30
#: Enough for 65,000 labels, and small enough that a wrong file does not fill memory.
MAX_MANIFEST_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Variant:
    """One artefact: the file, its hash and how to run it.

    Attributes:
        format: the manifest's ``runtime``, which runs it (``model/<format>.py``).
        on_demand: served only if the options name it.
        precision: what its kernels should compute in, such as ``int8``; empty if the manifest does not say.
        device: where it runs, ``cpu`` or ``cuda:0``.
        quantized_engine: the manifest's ``engine``, torch's backend for quantised operators; ``none`` for any.
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
    precision: str = ""
    device: str = "cpu"

    @property
    def quantized(self) -> bool:
        """Whether its kernels should compute in 8-bit integers."""
        return self.precision == "int8" or self.quantization != "none"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A parsed manifest.

    There are two kinds. A classifier with one input of fixed shape, UINT8 or FP32, is described by ``item_shape``,
    ``datatypes`` and ``ranges``, and takes the lean path. Every other model has a ``signature`` that describes its
    tensors; its ``item_shape`` and ``datatypes`` are empty, and so are its ``labels`` unless it is a classifier.
    """

    model: str
    version: str
    item_shape: tuple[int, ...]
    datatypes: tuple[DataType, ...]
    output_kind: Literal["probabilities", "logits", "tensors"]
    labels: tuple[str, ...]
    variants: dict[str, Variant]
    #: The smallest and largest meaningful value by datatype; a datatype that is missing takes any finite value.
    ranges: Ranges = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    manifest_json: str = "{}"
    #: The name of the lean path's only input.
    input_name: str = "input"
    signature: Signature | None = None

    @property
    def item_elements(self) -> int:
        """Elements per item: the product of its shape."""
        return math.prod(self.item_shape)

    def item_bytes(self, datatype: DataType) -> int:
        """Bytes per item."""
        return self.item_elements * ITEM_SIZE[datatype]

    def range_of(self, datatype: DataType) -> tuple[float, float]:
        """The smallest and largest meaningful value, as stated or by default."""
        return self.ranges.get(datatype, DEFAULT_RANGES[datatype])

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, on either path; of two datatypes, the preferred one."""
        if self.signature is not None:
            return self.signature.inputs
        first = self.datatypes[0]
        return (TensorSpec(self.input_name, first, self.item_shape, self.ranges.get(first)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs: tensors, or the probabilities of a classifier."""
        if self.signature is not None and not self.classes:
            return self.signature.outputs
        return (TensorSpec("probabilities", "FP32", (self.classes,)),)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.labels)


def read_manifest(folder: Path) -> ModelVersion:
    """Read and validate ``folder/manifest.json``; the artefact files must be there.

    Raises:
        ArtefactError: the manifest is missing, malformed, or names an unusable file; one line, with file and field.
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
    if manifest["schema_version"] == 1:
        fields, manifest = ["input"], upgraded(manifest)
    else:
        fields = [f"inputs.{index}" for index in range(len(manifest["inputs"]))]
    ranges = [_check_input(entry, f"{path}: field {at}") for at, entry in zip(fields, manifest["inputs"], strict=True)]
    signature, first = _signature(manifest, ranges, path), manifest["inputs"][0]
    return ModelVersion(
        model=manifest["model"],
        version=manifest["version"],
        item_shape=() if signature else tuple(first["shape"]),
        datatypes=() if signature else tuple(first["datatypes"]),
        output_kind=manifest["output"].get("scores", "tensors"),
        labels=_labels(manifest, path),
        variants={name: _variant(name, entry, folder) for name, entry in manifest["variants"].items()},
        ranges={} if signature else ranges[0],
        dataset=manifest.get("dataset", {}),
        runtime=manifest.get("runtime", {}),
        manifest_json=data.decode(),
        input_name=first["name"],
        signature=signature,
    )


def manifest_digest(manifest_json: str) -> bytes:
    """Identifies a manifest: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(manifest_json.encode()).digest()[:8]


def same_signature(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether two versions take the same inputs and their answers mean the same."""
    names = ("item_shape", "datatypes", "ranges", "labels", "input_name", "signature")
    return all(getattr(one, name) == getattr(other, name) for name in names)


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
        format=entry["runtime"],
        quantized_engine=entry.get("engine", "none"),
        max_batch_size=entry.get("max_batch_size", 64),
        # A file made by other means need not say how; it still does not count as a baseline.
        quantization=entry.get("quantization", {}).get(
            "method", "unknown" if entry.get("precision") == "int8" else "none"
        ),
        parameter_bytes=entry.get("parameter_bytes", 0),
        on_demand=entry.get("on_demand", False),
        precision=entry.get("precision", ""),
        device=entry.get("device", "cpu"),
    )


def _signature(
    manifest: dict[str, Any], ranges: list[dict[DataType, tuple[float, float]]], path: Path
) -> Signature | None:
    """The tensors of a model that does not take the lean path; None if it does."""
    inputs, outputs, kind = manifest["inputs"], manifest["outputs"], manifest["output"]["kind"]
    for key in ("inputs", "outputs"):
        names = [entry["name"] for entry in manifest[key]]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ArtefactError(f"{path}: field {key}: two are named {twice!r}; give each a unique name")
    first = inputs[0]
    if (
        kind == "classifier"
        and len(inputs) == 1
        and first["shape"]
        and FREE not in first["shape"]
        and set(first["datatypes"]) <= set(PIXEL_TYPES)
    ):
        return None
    for index, entry in enumerate(inputs):
        if len(entry["datatypes"]) > 1:
            raise ArtefactError(
                f"{path}: field inputs.{index}.datatypes: names {len(entry['datatypes'])}; only a classifier with one "
                "input of a fixed shape takes two, name the one that forward() takes"
            )
    return Signature(
        tuple(
            TensorSpec(entry["name"], entry["datatypes"][0], tuple(entry["shape"]), found.get(entry["datatypes"][0]))
            for entry, found in zip(inputs, ranges, strict=True)
        ),
        tuple(TensorSpec(entry["name"], entry["datatype"], tuple(entry["shape"])) for entry in outputs),
        manifest["output"].get("metric", ""),
    )


def _labels(manifest: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The class names of a classifier, or their numbers if it has none; empty for other models."""
    if manifest["output"]["kind"] != "classifier":
        return ()
    outputs = manifest["outputs"]
    if len(outputs) != 1:
        raise ArtefactError(
            f"{path}: field outputs: are {len(outputs)}; a classifier has one, its scores. Leave the others out, or "
            'say "kind": "tensors"'
        )
    shape, datatype = outputs[0]["shape"], outputs[0]["datatype"]
    if len(shape) != 1 or shape[0] < 2 or datatype not in ("FP16", "FP32", "FP64"):
        raise ArtefactError(
            f"{path}: field outputs.0: is {datatype} {shape}; the scores of a classifier are floating-point numbers of "
            "shape [classes], 2 at least"
        )
    labels = manifest["output"].get("labels")
    if labels is None:
        return tuple(map(str, range(shape[0])))
    if len(labels) != shape[0]:
        raise ArtefactError(f"{path}: field output.labels: are {len(labels)}, but outputs.0.shape says {shape[0]}")
    return tuple(labels)


def _check_input(entry: dict[str, Any], where: str) -> Ranges:
    """Check the size and the ranges of one input; return the ranges, by datatype."""
    shape = entry["shape"]
    size = math.prod(max(1, size) for size in shape) * max(ITEM_SIZE[datatype] for datatype in entry["datatypes"])
    if size > MAX_BATCH_BYTES:
        raise ArtefactError(f"{where}.shape: one item of {shape} has {size} bytes; the limit is {MAX_BATCH_BYTES}")
    ranges: Ranges = {}
    for datatype, (low, high) in entry.get("ranges", {}).items():
        least, greatest = EVERY_VALUE[datatype]
        if not least <= low < high <= greatest:
            raise ArtefactError(
                f"{where}.ranges.{datatype}: is {reprlib.repr([low, high])}; give the smallest and a larger "
                f"value, both within {least:g}..{greatest:g}"
            )
        ranges[datatype] = (float(low), float(high))
    return ranges
