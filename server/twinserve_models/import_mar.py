"""``twinserve models import-mar``: a TorchServe archive that holds a TorchScript file becomes a model folder."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from twinserve_host.files import write_file
from twinserve_models.export import new_version
from twinserve_server.artefact.files import sha256_of
from twinserve_server.artefact.manifest import MANIFEST_NAME
from twinserve_server.artefact.schema import SCHEMA_VERSION, schema, validate_manifest

VERSION: Final = "1"
_ARCHIVE_MANIFEST: Final = "MAR-INF/MANIFEST.json"
_LABELS: Final = "index_to_name.json"
_CONFIG: Final = "model-config.yaml"


class ImportModelError(Exception):
    """The archive cannot be imported; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an archive became: the folder of the version, and what of the archive is not in it, in words."""

    folder: Path
    model: str
    left_out: list[str] = field(default_factory=list)


def import_mar(archive: Path, models: Path, shape: list[int], datatype: str, name: str, variant: str) -> Imported:
    """Write ``models/<name>/1`` from ``archive``.

    Args:
        archive: the ``.mar`` file.
        models: the model folder.
        shape: of one item, without the batch; an archive does not state it.
        datatype: FP32 or UINT8, what the TorchScript file takes.
        name: of the model; empty: the archive's.
        variant: of the artefact, for example fp32.

    Raises:
        ImportModelError: the archive is none, holds no TorchScript file, or that does not run on such an item.
        ArtefactError: the name or the labels break the manifest's schema.
        FileError: a file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return _import(opened, archive, models, shape, datatype, name, variant)
    except OSError as error:
        raise ImportModelError(f"{archive}: cannot be read ({error.strerror or error})") from None
    except zipfile.BadZipFile as error:
        raise ImportModelError(f"{archive}: is not a .mar archive ({error})") from None


def _import(
    opened: zipfile.ZipFile, archive: Path, models: Path, shape: list[int], datatype: str, name: str, variant: str
) -> Imported:
    told = _json(opened, _ARCHIVE_MANIFEST, archive)
    entry = told.get("model") if isinstance(told, dict) else None
    if not isinstance(entry, dict):
        raise ImportModelError(f"{archive}: {_ARCHIVE_MANIFEST} describes no model")
    file = entry.get("serializedFile")
    if entry.get("modelFile") or not isinstance(file, str):
        raise ImportModelError(
            f"{archive}: holds an eager model, weights beside Python code; twinserve runs no code of a model. Save it "
            "with torch.jit.script(model).save(FILE), archive that (torch-model-archiver without --model-file), and "
            "import it again"
        )
    model = name or str(entry.get("modelName", ""))
    allowed = schema()["$defs"]["name"]["pattern"]
    for option, word in (("--name", model), ("--variant", variant)):
        # They become names of files.
        if not re.search(allowed, word):
            raise ImportModelError(f"{option}: {word!r} is no name here; use a-z, 0-9, '.', '_' and '-', 64 at most")
    if (models / model).exists():
        raise ImportModelError(f"{models / model}: is there already; give another name with --name, or remove it")
    data = _read(opened, file, archive)
    classes, scores = _probe(data, shape, datatype, f"{archive}: {file}")
    labels = _labels(opened, archive, classes)
    with new_version(models / model, VERSION) as folder:
        path = folder / f"{variant}.pt"
        write_file(path, data)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "model": model,
            "version": VERSION,
            "description": f"Imported from {archive.name}, model version {entry.get('modelVersion', 'unknown')}.",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "inputs": [{"name": "input", "datatypes": [datatype], "shape": shape}],
            "outputs": [{"name": scores, "datatype": "FP32", "shape": [classes]}],
            "output": {"kind": "classifier", "scores": scores, "labels": labels},
            "variants": {
                variant: {
                    "file": path.name,
                    "runtime": "torchscript",
                    "device": "cpu",
                    "precision": "fp32",
                    "sha256": sha256_of(path),
                    "bytes": len(data),
                }
            },
        }
        validate_manifest(manifest, str(folder / MANIFEST_NAME))
        write_file(folder / MANIFEST_NAME, json.dumps(manifest, indent=2) + "\n")
    return Imported(models / model / VERSION, model, _left_out(opened, entry, file))


def _probe(data: bytes, shape: list[int], datatype: str, where: str) -> tuple[int, str]:
    """How many classes the artefact tells apart, and whether its scores are probabilities or logits."""
    try:
        module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise ImportModelError(f"{where}: is not a TorchScript file ({first})") from None
    dtype = torch.uint8 if datatype == "UINT8" else torch.float32
    try:
        with torch.inference_mode():
            rows = module(torch.ones([2, *shape], dtype=dtype))
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise ImportModelError(
            f"{where}: does not run on {datatype} items of shape {shape} ({last}); check --shape and --datatype"
        ) from None
    if not isinstance(rows, torch.Tensor) or rows.dim() != 2 or len(rows) != 2 or rows.shape[1] < 2:
        got = list(rows.shape) if isinstance(rows, torch.Tensor) else type(rows).__name__
        raise ImportModelError(f"{where}: returns {got} for two items, a classifier returns [2, classes]")
    sums = rows.float().sum(1)
    is_probability = bool((rows >= 0).all()) and bool(torch.allclose(sums, torch.ones(2), atol=1e-3))
    return int(rows.shape[1]), "probabilities" if is_probability else "logits"


def _labels(opened: zipfile.ZipFile, archive: Path, classes: int) -> list[str]:
    """TorchServe's index_to_name.json: an object of index to name, or to a list that ends with it."""
    if _LABELS not in opened.namelist():
        return [str(index) for index in range(classes)]
    names = _json(opened, _LABELS, archive)
    try:
        found = [names[str(index)] for index in range(classes)]
    except (KeyError, TypeError, IndexError):
        raise ImportModelError(
            f"{archive}: {_LABELS} does not name the classes 0 to {classes - 1} that the model returns"
        ) from None
    return [str(label[-1] if isinstance(label, list) and label else label) for label in found]


def _left_out(opened: zipfile.ZipFile, entry: dict[str, Any], file: str) -> list[str]:
    told = []
    if handler := entry.get("handler"):
        told.append(
            f"handler {handler}: its pre- and post-processing; do it in the model (scripted with it) or in the client"
        )
    if _CONFIG in opened.namelist():
        told.append(
            f"{_CONFIG}: batchSize is --max-batch-size, maxBatchDelay --max-queue-delay-us (in microseconds), "
            "minWorkers --replicas VARIANT=N of `twinserve serve`"
        )
    known = {_ARCHIVE_MANIFEST, _LABELS, _CONFIG, file, entry.get("handler")}
    return told + [f"file {name}" for name in opened.namelist() if name not in known and not name.endswith("/")]


def _read(opened: zipfile.ZipFile, name: str, archive: Path) -> bytes:
    try:
        return opened.read(name)
    except KeyError:
        raise ImportModelError(f"{archive}: holds no {name}") from None


def _json(opened: zipfile.ZipFile, name: str, archive: Path) -> Any:
    try:
        return json.loads(_read(opened, name, archive))
    except ValueError as error:
        raise ImportModelError(f"{archive}: {name} is not JSON ({error})") from None
