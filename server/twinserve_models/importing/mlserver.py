"""``twinserve models import-mlserver``: a TorchScript or ONNX file with its ``model-settings.json`` is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from twinserve_models.importing.frame import ImportModelError, Source, read_file
from twinserve_models.importing.trial import classifier, runtime_of
from twinserve_server.artefact.datatypes import DATATYPES
from twinserve_server.artefact.repository import is_version
from twinserve_server.artefact.signature import FREE

SETTINGS: Final = "model-settings.json"
_SUFFIXES: Final = (".pt", ".pth", ".torchscript", ".onnx")
#: Fields that are carried over, or say nothing here.
_CARRIED: Final = {
    *("name", "platform", "versions", "inputs", "outputs"),
    *("max_batch_size", "max_batch_time", "parallel_workers", "parameters"),
}
_PARAMETERS: Final = {"uri", "version", "format"}
_ADVICE: Final = {
    "implementation": "twinserve runs the file itself; do what its Python code does before and after in the model or "
    "in the client",
    "warm_workers": "every batch size is warmed up before a variant is ready",
    "cache_enabled": "every request is computed",
}


def read_settings(path: Path, name: str, variant: str, *, scores: bool) -> Source:
    """What a ``model-settings.json`` says of its model.

    Args:
        path: the file, or the folder that holds it.
        name: of the model here; empty: as it is called there.
        variant: of the artefact here; replicas are set by it.
        scores: the one output holds scores of classes.

    Raises:
        ImportModelError: it cannot be read, lacks something, or names a file that is neither TorchScript nor ONNX.
    """
    path = path / SETTINGS if path.is_dir() else path
    try:
        settings = json.loads(read_file(path))
    except ValueError as error:
        raise ImportModelError(f"{path}: is not JSON ({error})") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("parameters", {}), dict):
        raise ImportModelError(f"{path}: is not an object of settings")
    parameters = settings.get("parameters", {})
    file = _artefact(path, parameters.get("uri"))
    data = read_file(file)
    runtime = runtime_of(data, str(file))
    inputs: list[dict[str, Any]] = [
        {"name": told, "datatypes": [datatype], "shape": shape}
        for told, datatype, shape in _tensors(settings, "inputs", path)
    ]
    outputs: list[dict[str, Any]] = [
        {"name": told, "datatype": datatype, "shape": shape}
        for told, datatype, shape in _tensors(settings, "outputs", path)
    ]
    output: dict[str, Any] = {"kind": "tensors", "metric": "max_abs"}
    if scores:
        if len(outputs) != 1:
            raise ImportModelError(f"{path}: --classifier: a classifier has one output; there are {len(outputs)}")
        classes, kind = classifier(data, runtime, inputs, outputs[0]["name"], str(file))
        outputs[0]["shape"] = [classes]
        output = {"kind": "classifier", "scores": kind}
    version = str(parameters.get("version") or "1")
    model = name or str(settings.get("name", ""))
    return Source(
        where=str(file),
        model=model,
        version=version if is_version(version) else "1",
        description=f"Imported from MLServer, model {settings.get('name', path.parent.name)}.",
        data=data,
        runtime=runtime,
        inputs=inputs,
        outputs=outputs,
        output=output,
        max_batch_size=_number(settings, "max_batch_size", path),
        serve=_serve(settings, variant, path),
        left_out=_left_out(settings, parameters, version, path),
    )


def _artefact(path: Path, uri: object) -> Path:
    """The file that ``parameters.uri`` names, or the only one of its kind in the folder."""
    if uri is not None and not isinstance(uri, str):
        raise ImportModelError(f"{path}: field parameters.uri: is {uri!r}; a path is wanted")
    scheme, _, location, *_ = urlsplit(uri or ".")
    if scheme not in ("", "file"):
        raise ImportModelError(f"{path}: field parameters.uri: {uri!r} is not on this machine; fetch it first")
    found = path.parent / (url2pathname(location) if scheme else location)
    if not found.is_dir():
        return found
    files = sorted(file for file in found.iterdir() if file.suffix in _SUFFIXES)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise ImportModelError(
            f"{path}: field parameters.uri: leads to {found}, where one file *{', *'.join(_SUFFIXES)} is wanted; there "
            f"is {names}; name the file"
        )
    return files[0]


def _tensors(settings: dict[str, Any], field: str, path: Path) -> list[tuple[str, str, list[int]]]:
    """Name, datatype and shape of one item; the first dimension of MLServer's is the batch."""
    entries = settings.get(field)
    if not isinstance(entries, list) or not entries:
        raise ImportModelError(
            f'{path}: field {field}: is not stated; write [{{"name": …, "datatype": "FP32", "shape": [-1, …]}}]'
        )
    found = []
    for index, entry in enumerate(entries):
        where = f"{path}: field {field}.{index}"
        name, datatype, shape = (
            (entry.get(key) for key in ("name", "datatype", "shape")) if isinstance(entry, dict) else (None,) * 3
        )
        if not isinstance(name, str):
            raise ImportModelError(f"{where}.name: is {name!r}; a text is wanted")
        if datatype not in DATATYPES:
            raise ImportModelError(f"{where}.datatype: {datatype!r} is not served; {', '.join(DATATYPES)} are")
        if not isinstance(shape, list) or not shape or not all(type(size) is int for size in shape):
            raise ImportModelError(f"{where}.shape: is {shape!r}; numbers are wanted, the batch first: [-1, …]")
        if shape[0] != FREE:
            raise ImportModelError(
                f"{where}.shape: is {shape}; the first dimension is the batch, of any size: write -1 for it"
            )
        found.append((name, str(datatype), shape[1:]))
    return found


def _number(settings: dict[str, Any], field: str, path: Path, *kinds: type) -> Any:
    number = settings.get(field) or 0
    if type(number) not in (int, *kinds) or number < 0:
        raise ImportModelError(
            f"{path}: field {field}: is {number!r}; a {'number' if kinds else 'whole number'} of 0 or more is wanted"
        )
    return number


def _serve(settings: dict[str, Any], variant: str, path: Path) -> list[str]:
    flags = []
    if workers := _number(settings, "parallel_workers", path):
        flags.append(f"--replicas {variant}={workers}")
    if seconds := _number(settings, "max_batch_time", path, float):
        flags.append(f"--max-queue-delay-us {min(round(seconds * 1e6), 1_000_000)}")
    return flags


def _left_out(settings: dict[str, Any], parameters: dict[str, Any], version: str, path: Path) -> list[str]:
    told = [f"{field}: {_ADVICE[field]}" if field in _ADVICE else field for field in settings if field not in _CARRIED]
    told += [f"parameters.{field}" for field in parameters if field not in _PARAMETERS]
    if not is_version(version):
        told.append(f"parameters.version {version}: versions are numbers here, this one is 1")
    if (path.parent / "settings.json").exists() or (path.parent.parent / "settings.json").exists():
        told.append("settings.json: ports and workers of the server are flags of `twinserve serve`")
    return told
