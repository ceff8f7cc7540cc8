"""``twinserve models import-mar``: a TorchServe archive that holds a TorchScript file becomes a model folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Final

from twinserve_models.importing.frame import ImportModelError, Source
from twinserve_models.importing.trial import classifier

VERSION: Final = "1"
_ARCHIVE_MANIFEST: Final = "MAR-INF/MANIFEST.json"
_LABELS: Final = "index_to_name.json"
_CONFIG: Final = "model-config.yaml"


def read_mar(archive: Path, shape: list[int], datatype: str, name: str) -> Source:
    """What ``archive`` says of its model.

    Args:
        archive: the ``.mar`` file.
        shape: of one item, without the batch; an archive does not state it.
        datatype: FP32 or UINT8, what the TorchScript file takes.
        name: of the model; empty: the archive's.

    Raises:
        ImportModelError: the archive is none, holds no TorchScript file, or that does not run on such an item.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return _read_archive(opened, archive, shape, datatype, name)
    except OSError as error:
        raise ImportModelError(f"{archive}: cannot be read ({error.strerror or error})") from None
    except zipfile.BadZipFile as error:
        raise ImportModelError(f"{archive}: is not a .mar archive ({error})") from None


def _read_archive(opened: zipfile.ZipFile, archive: Path, shape: list[int], datatype: str, name: str) -> Source:
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
    data = _read(opened, file, archive)
    inputs = [{"name": "input", "datatypes": [datatype], "shape": shape}]
    classes, scores = classifier(data, "torchscript", inputs, "scores", f"{archive}: {file}")
    return Source(
        where=str(archive),
        model=name or str(entry.get("modelName", "")),
        version=VERSION,
        description=f"Imported from {archive.name}, model version {entry.get('modelVersion', 'unknown')}.",
        data=data,
        runtime="torchscript",
        inputs=inputs,
        outputs=[{"name": scores, "datatype": "FP32", "shape": [classes]}],
        output={"kind": "classifier", "scores": scores, "labels": _labels(opened, archive, classes)},
        left_out=_left_out(opened, entry, file),
    )


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
