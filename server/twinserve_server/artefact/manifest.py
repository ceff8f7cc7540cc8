"""The artefacts of a model version and the manifest that describes them.

``models/<model>/<version>/manifest.json`` lies beside the files it names. Its form is
``manifest.schema.json`` (JSON Schema 2020-12); everything that is specific to a model (shape, datatype,
labels, preprocessing) is read from it and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from twinserve_server.errors import ArtefactError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

DataType = Literal["UINT8", "FP32"]
ITEM_SIZE: dict[DataType, int] = {"UINT8": 1, "FP32": 4}


@dataclass(frozen=True, slots=True)
class Variant:
    """One artefact: the file, its hash and how to run it."""

    name: str
    path: str
    sha256: str
    bytes: int
    engine: str = "none"
    max_batch_size: int = 64
    quantization: str = "none"
    parameter_bytes: int = 0


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
    dataset: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    manifest_json: str = "{}"

    @property
    def item_elements(self) -> int:
        """Elements of one item: the product of its shape."""
        return math.prod(self.item_shape)

    @property
    def classes(self) -> int:
        """How many classes the model tells apart."""
        return len(self.labels)


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    text = resources.files("twinserve_server.artefact").joinpath("manifest.schema.json").read_text("utf-8")
    return cast("dict[str, Any]", json.loads(text))


def validate_manifest(manifest: object, source: str) -> None:
    """Check ``manifest`` against the schema.

    Raises:
        ArtefactError: names ``source``, the field and the rule it breaks.
    """
    import jsonschema  # noqa: PLC0415  (only who reads manifests pays for it; gateways do not)

    validator = jsonschema.Draft202012Validator(schema())
    problem = jsonschema.exceptions.best_match(validator.iter_errors(manifest))
    if problem is not None:
        where = ".".join(str(part) for part in problem.absolute_path) or "(top level)"
        raise ArtefactError(f"{source}: field {where}: {problem.message}")


def read_manifest(folder: Path) -> ModelVersion:
    """Read and validate ``folder/manifest.json``; the artefact files must exist.

    Raises:
        ArtefactError: the manifest is missing, malformed, or names a file that is not there.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ArtefactError(f"{path}: is not JSON ({error})") from None
    validate_manifest(manifest, str(path))
    for name, value in (("model", folder.parent.name), ("version", folder.name)):
        if manifest[name] != value:
            raise ArtefactError(f"{path}: field {name}: is {manifest[name]!r}, but the folder is {value!r}")
    variants = {}
    for name, entry in manifest["variants"].items():
        file = folder / entry["file"]
        if not file.is_file():
            raise ArtefactError(f"{path}: field variants.{name}.file: {file} is not there")
        variants[name] = Variant(
            name=name,
            path=str(file),
            sha256=entry["sha256"],
            bytes=entry["bytes"],
            engine=entry.get("engine", "none"),
            max_batch_size=entry.get("max_batch_size", 64),
            quantization=entry.get("quantization", {}).get("method", "none"),
            parameter_bytes=entry.get("parameter_bytes", 0),
        )
    return ModelVersion(
        model=manifest["model"],
        version=manifest["version"],
        item_shape=tuple(manifest["input"]["shape"]),
        datatypes=tuple(manifest["input"]["datatypes"]),
        output_kind=manifest["output"]["kind"],
        labels=tuple(manifest["output"]["labels"]),
        variants=variants,
        dataset=manifest.get("dataset", {}),
        runtime=manifest.get("runtime", {}),
        manifest_json=text,
    )


def manifest_digest(manifest_json: str) -> bytes:
    """What tells one manifest from another: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(manifest_json.encode()).digest()[:8]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_artefact(variant: Variant) -> None:
    """Check that the file is the one the manifest describes.

    Raises:
        ArtefactError: size or SHA-256 differ; says which, and what to do.
    """
    path = Path(variant.path)
    size = path.stat().st_size
    if size != variant.bytes:
        raise ArtefactError(
            f"{path}: is corrupt: {size} bytes, the manifest says {variant.bytes}; "
            "build it again with `twinserve models build --force`"
        )
    if (found := sha256_of(path)) != variant.sha256:
        raise ArtefactError(
            f"{path}: is corrupt: SHA-256 {found}, the manifest says {variant.sha256}; "
            "build it again with `twinserve models build --force`"
        )
