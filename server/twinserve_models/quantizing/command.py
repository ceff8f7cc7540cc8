"""``twinserve models quantize``: from a model folder to the same with an INT8 variant more."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinserve_host.files import FileError, scratch_folder, write_file
from twinserve_host.functions import FunctionError, import_function
from twinserve_host.processor import cpu_flags
from twinserve_host.sizes import kilobytes
from twinserve_models.listing import find
from twinserve_models.machine import engine_for, reduce_range_for
from twinserve_models.quantizing.calibration import Arrays, read_calibration
from twinserve_models.staged import NewVariant, start, write_version
from twinserve_models.terminal import console, errors, fail, say
from twinserve_models.versions import ADDING
from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion, Variant
from twinserve_server.artefact.schema import validate_manifest
from twinserve_server.errors import ArtefactError
from twinserve_server.ipc.load_facts import LoadFacts


@dataclass(frozen=True, slots=True)
class Order:
    """The command line."""

    model: str
    calibration: Path | None
    static: bool
    source: str
    function: str
    variant: str
    models: Path


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was added."""

    path: Path
    variant: str
    bytes: int
    source_bytes: int
    kernels: dict[str, int]
    warning: str


def quantize(order: Order) -> Quantized:
    """Quantise, try, add to the manifest.

    Raises:
        ArtefactError: the model, the calibration or the result cannot be used.
        FileError: a file cannot be written.
    """
    version = _find(order)
    name = order.variant or ("int8" if order.static else "int8-dynamic")
    if name in version.variants:
        raise ArtefactError(f"variant {name!r}: is there already; give the new one another name with --variant")
    source = _source(version, order.source)
    if order.static and order.calibration is None:
        raise ArtefactError("--calibration: is missing; static quantisation finds the ranges on items of an .npz")
    engine = engine_for(platform.machine())
    reduce_range = reduce_range_for(engine, cpu_flags())
    if order.function:
        data, runtime = _from_function(order, version, engine, reduce_range), "torchscript"
    else:
        data, runtime = _from_file(order, version, source, reduce_range), "onnx"
    new = NewVariant(name, runtime, data, _stated(order, runtime, engine, reduce_range, source))
    path = Path(source.path).with_name(new.file)
    place = path.with_name(MANIFEST_NAME)
    facts = _tried(version, new, str(place))
    manifest = json.loads(version.manifest_json)
    manifest["variants"][name] = new.entry()
    validate_manifest(manifest, str(place))
    _add(path, data, place, json.dumps(manifest, indent=2) + "\n")
    warning = "none of its kernels computes in 8-bit integers" if facts.floats_only else ""
    return Quantized(path, name, len(data), source.bytes, facts.runtime.kernels, warning)


def _add(path: Path, data: bytes, manifest: Path, text: str) -> None:
    """Both or neither: a file that no manifest names would lie there for ever.

    Raises:
        FileError: one cannot be written.
    """
    was_there = path.exists()
    write_file(path, data)
    try:
        write_file(manifest, text)
    except FileError:
        if not was_there:
            path.unlink(missing_ok=True)
        raise


def _find(order: Order) -> ModelVersion:
    version = find(order.models, order.model)
    if json.loads(version.manifest_json)["schema_version"] == 1:
        raise ArtefactError(f"model {order.model}: its manifest has version 1; add it with `twinserve models add`")
    return version


def _source(version: ModelVersion, wanted: str) -> Variant:
    if wanted and wanted not in version.variants:
        raise ArtefactError(
            f"--of {wanted}: is not a variant of {version.model}; the variants are {', '.join(version.variants)}"
        )
    floats = [variant for variant in version.variants.values() if not variant.quantized]
    found = version.variants[wanted] if wanted else next(iter(floats), None)
    if found is None or found.quantized:
        raise ArtefactError(
            f"model {version.model}: {wanted or 'every variant'} is quantised already; name one in floats"
        )
    return found


def _from_file(order: Order, version: ModelVersion, source: Variant, reduce_range: bool) -> bytes:
    if source.format != "onnx":
        raise ArtefactError(
            f"variant {source.name!r}: is a TorchScript file, whose weights and operators are frozen: it cannot be "
            "quantised again. Give --from module:function, which returns the torch.nn.Module that it was made of, or "
            "add the model as ONNX"
        )
    from twinserve_models.add.files import Candidate, declared_tensors  # noqa: PLC0415
    from twinserve_models.quantizing.onnx_file import quantize_onnx  # noqa: PLC0415

    data = read_artefact(source)
    takes, _ = declared_tensors(Candidate(source.name, Path(source.path), data, "onnx", "fp32"))
    calibration: Arrays | None = None
    if order.static and order.calibration is not None:
        names = [spec.name for spec in version.inputs]
        # The graph may use another name for the lean path's only input.
        datatypes: dict[str, Any] = {
            name: entry.datatype for name, entry in zip(names, _in_order(takes, names), strict=True)
        }
        arrays = read_calibration(order.calibration, version, datatypes)
        calibration = {entry.name: arrays[name] for name, entry in zip(names, _in_order(takes, names), strict=True)}
    return quantize_onnx(data, calibration, reduce_range=reduce_range)


def _in_order(takes: list[Any], names: list[str]) -> list[Any]:
    by_name = {entry.name: entry for entry in takes}
    return takes if len(takes) == 1 else [by_name[name] for name in names]


def _from_function(order: Order, version: ModelVersion, engine: str, reduce_range: bool) -> bytes:
    from twinserve_models.quantize import QuantRecipe  # noqa: PLC0415  (torch)
    from twinserve_models.quantizing.eager import quantize_module  # noqa: PLC0415

    try:
        make = import_function(order.function)
    except FunctionError as error:
        raise ArtefactError(f"--from {error}") from None
    if order.calibration is None:
        raise ArtefactError("--calibration: is missing; a module is tried on items of an .npz")
    datatypes: dict[str, DataType] = {spec.name: spec.datatype for spec in version.inputs}
    calibration = read_calibration(order.calibration, version, datatypes)
    try:
        return quantize_module(make, calibration, QuantRecipe(engine, reduce_range), static=order.static)
    except ArtefactError as error:
        raise ArtefactError(f"--from {order.function}: {error.message}") from None


def _stated(order: Order, runtime: str, engine: str, reduce_range: bool, source: Variant) -> dict[str, Any]:
    recipe: dict[str, Any] = {"method": "static" if order.static else "dynamic", "dtype": "qint8"}
    if order.static:
        recipe |= {"weights": "per channel, symmetric", "activations": "per tensor, affine, quint8"}
    return {
        "precision": "int8",
        "description": f"Made of {order.function or source.name} by twinserve models quantize.",
        "max_batch_size": source.max_batch_size,
        "quantization": {**recipe, "reduce_range": reduce_range},
        **({"engine": engine} if runtime == "torchscript" else {}),
    }


def _tried(version: ModelVersion, new: NewVariant, manifest: str) -> LoadFacts:
    """Start the new variant as a server would, in a folder of its own."""
    with scratch_folder(ADDING) as scratch:
        folder = scratch / version.model / version.version
        alone = write_version(folder, json.loads(version.manifest_json), [new], manifest)
        try:
            return start(alone, new.name)
        except ArtefactError as error:
            raise ArtefactError(f"variant {new.name!r}: as a server starts it, it {error.message}") from None


def run(order: Order, *, as_json: bool) -> int:
    """0: added; 1: it cannot be."""
    try:
        with errors.status("quantising …"):
            found = quantize(order)
    except ArtefactError as error:
        return fail(error.message)
    except FileError as error:
        return fail(str(error))
    if as_json:
        told = {"file": str(found.path), "variant": found.variant, "bytes": found.bytes, "kernels": found.kernels}
        print(json.dumps({**told, "warning": found.warning}, indent=1))
        return 0
    ratio = found.source_bytes / found.bytes
    said = f"{found.path} is added as variant {found.variant}: {kilobytes(found.bytes)} KB, {ratio:.1f} times smaller."
    say(console, said)
    if found.warning:
        say(console, f"{found.variant}: {found.warning}", "yellow")
    return 0
