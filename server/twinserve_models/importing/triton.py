"""``twinserve models import-triton``: models of a Triton repository, TorchScript or ONNX, become model folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from twinserve.inference import open_inference_pb2 as pb
from twinserve_models.importing.frame import ImportModelError, Source, read_file
from twinserve_models.importing.pbtxt import read_config
from twinserve_models.importing.trial import argument_names, classifier
from twinserve_server.artefact.datatypes import DATATYPES
from twinserve_server.artefact.platforms import PLATFORMS
from twinserve_server.artefact.repository import is_version
from twinserve_server.artefact.signature import FREE

Tensor = pb.ModelInput | pb.ModelOutput

CONFIG: Final = "config.pbtxt"
#: Triton's names of backends, and the runtimes that run their files here.
_RUNTIMES: Final = {word: runtime for runtime, one in PLATFORMS.items() for word in (one.name, one.backend)}
_FILES: Final = {"torchscript": "model.pt", "onnx": "model.onnx"}
#: Fields that are carried over or have no meaning here. Fields below them that are not listed are reported to the user.
_CARRIED: Final = frozenset(
    {
        *("name", "platform", "backend", "max_batch_size", "default_model_filename"),
        *("version_policy", "version_policy.latest", "version_policy.latest.num_versions"),
        *("version_policy.specific", "version_policy.specific.versions"),
        *("input", "input.name", "input.data_type", "input.dims", "input.reshape", "input.reshape.shape"),
        *("output", "output.name", "output.data_type", "output.dims", "output.reshape", "output.reshape.shape"),
        *("output.label_filename", "instance_group", "instance_group.name"),
        *("instance_group.count", "instance_group.kind", "dynamic_batching"),
        *("dynamic_batching.preferred_batch_size", "dynamic_batching.max_queue_delay_microseconds"),
        *("dynamic_batching.default_queue_policy", "dynamic_batching.default_queue_policy.max_queue_size"),
    }
)
#: What to do about some of the others.
_ADVICE: Final = {
    "version_policy.all": "only the highest version is served",
    "instance_group.gpus": "models run on the CPU",
    "model_warmup": "every batch size is warmed up before a variant is ready",
    "dynamic_batching.preserve_ordering": "answers on a stream come in the order of its requests",
    "dynamic_batching.default_queue_policy.default_timeout_microseconds": "the client's deadline ends a request",
    "response_cache": "every request is computed",
    "sequence_batching": "requests are independent of each other",
    "optimization": "--threads is what a forward pass may use",
    "parameters": "--threads is what a forward pass may use",
}


def read_repository(repository: Path, only: str, name: str, variant: str, *, scores: bool) -> list[Source]:
    """What a repository says of its models.

    Args:
        repository: the folder of the repository, or of one model.
        only: the one model to read; empty: all.
        name: of the model here; empty: as it is called there.
        variant: of the artefact here; replicas are set by it.
        scores: the one output holds scores of classes.

    Raises:
        ImportModelError: there is no such model, or one is of a kind that is not served.
    """
    if (repository / CONFIG).is_file():
        folders = [repository]
    elif repository.is_dir():
        folders = sorted(path.parent for path in repository.glob(f"*/{CONFIG}") if only in ("", path.parent.name))
    else:
        raise ImportModelError(f"{repository}: is not a folder")
    if not folders:
        raise ImportModelError(f"{repository}: holds no {only or '<model>'}/{CONFIG}")
    if name and len(folders) > 1:
        found = ", ".join(folder.name for folder in folders)
        raise ImportModelError(f"--name {name}: names one model, but there are {found}; pick one with --model")
    return [_read_model(folder, name, variant, scores=scores) for folder in folders]


def _read_model(folder: Path, name: str, variant: str, *, scores: bool) -> Source:
    path = folder / CONFIG
    config, fields = read_config(path)
    backend = config.backend or config.platform
    runtime = _RUNTIMES.get(backend)
    if runtime is None:
        raise ImportModelError(
            f"{path}: backend {backend or '(not stated)'!r} is not served; pytorch (TorchScript) and onnxruntime are"
        )
    version, left_out = _version(folder, config)
    file = folder / version / (config.default_model_filename or _FILES[runtime])
    data = read_file(file)
    for kind, tensors in (("input", config.input), ("output", config.output)):
        if not tensors:
            raise ImportModelError(f"{path}: states no {kind}; write {kind} [{{name data_type dims}}] for each tensor")
    limit = _drop_batch(config, path)
    inputs = [
        {"name": tensor.name, "datatypes": [_datatype(tensor, path)], "shape": _shape(tensor)}
        for tensor in _in_order(config.input, argument_names(data) if runtime == "torchscript" else [])
    ]
    outputs = [
        {"name": tensor.name, "datatype": _datatype(tensor, path), "shape": _shape(tensor)}
        for tensor in _in_order(config.output, [])
    ]
    output: dict[str, Any] = {"kind": "tensors", "metric": "max_abs"}
    if scores:
        output = _classifier(config, data, runtime, inputs, outputs, folder)
    return Source(
        where=str(file),
        model=name or config.name or folder.name,
        version=version,
        description=f"Imported from a Triton repository, model {config.name or folder.name}.",
        data=data,
        runtime=runtime,
        inputs=inputs,
        outputs=outputs,
        output=output,
        max_batch_size=limit,
        serve=_serve(config, variant),
        left_out=left_out + _left_out(config, fields, scores=scores),
    )


def _version(folder: Path, config: pb.ModelConfig) -> tuple[str, list[str]]:
    """The version that is imported, the greatest that the policy names, and what becomes of the others."""
    there = sorted((path.name for path in folder.iterdir() if path.is_dir() and is_version(path.name)), key=int)
    wanted = {str(number) for number in config.version_policy.specific.versions} or set(there)
    if not (found := [number for number in there if number in wanted]):
        raise ImportModelError(f"{folder}: has no version folder ({', '.join(sorted(wanted)) or '1, 2, ...'})")
    return found[-1], [f"version {number}: only the highest version is imported" for number in there[:-1]]


def _drop_batch(config: pb.ModelConfig, path: Path) -> int:
    """The batch limit. Where Triton does no batching, the batch is a dimension of the tensors: take it off them.

    Returns:
        0: not stated.
    """
    if config.max_batch_size > 0:
        return config.max_batch_size
    tensors: list[Tensor] = [*config.input, *config.output]
    firsts = {_shape(tensor)[0] if _shape(tensor) else 0 for tensor in tensors}
    if not firsts <= {FREE, 1}:
        raise ImportModelError(
            f"{path}: max_batch_size is 0 and a tensor's first dimension is fixed, so that the model takes no batch; "
            "here the first dimension is the batch: export the model with one, and state max_batch_size"
        )
    for tensor in tensors:
        del (tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)[0]
    return 1 if 1 in firsts else 0


def _shape(tensor: Tensor) -> list[int]:
    """Of one item, as the artefact sees it."""
    return list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def _datatype(tensor: Tensor, path: Path) -> str:
    said = pb.DataType.Name(tensor.data_type)
    if (datatype := said.removeprefix("TYPE_")) not in DATATYPES:
        raise ImportModelError(f"{path}: {tensor.name}: data_type {said} is not served; {', '.join(DATATYPES)} are")
    return datatype


def _in_order(tensors: Iterable[Any], arguments: list[str]) -> list[Any]:
    """In the order of forward(), as Triton's PyTorch backend finds it: by the names of its arguments, else by the
    numbers that end their names (INPUT__0), else as they are written."""
    found = list(tensors)
    if {tensor.name for tensor in found} <= set(arguments):
        return sorted(found, key=lambda tensor: arguments.index(tensor.name))
    if all(re.search(r"__\d+\Z", tensor.name) for tensor in found):
        return sorted(found, key=lambda tensor: int(tensor.name.rpartition("__")[2]))
    return found


def _classifier(
    config: pb.ModelConfig,
    data: bytes,
    runtime: str,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    if len(outputs) != 1:
        names = ", ".join(tensor["name"] for tensor in outputs)
        raise ImportModelError(f"{folder / CONFIG}: --classifier: a classifier has one output; there are {names}")
    classes, kind = classifier(data, runtime, inputs, outputs[0]["name"], str(folder))
    outputs[0]["shape"] = [classes]
    found: dict[str, Any] = {"kind": "classifier", "scores": kind}
    if not (labels := config.output[0].label_filename):
        return found
    words = read_file(folder / labels).decode("utf-8", "replace").splitlines()
    if len(words) != classes:
        raise ImportModelError(f"{folder / labels}: names {len(words)} classes; the model returns {classes}")
    return {**found, "labels": words}


def _serve(config: pb.ModelConfig, variant: str) -> list[str]:
    batching, flags = config.dynamic_batching, []
    if (count := sum(group.count or 1 for group in config.instance_group)) > 0:
        flags.append(f"--replicas {variant}={count}")
    if delay := batching.max_queue_delay_microseconds:
        flags.append(f"--max-queue-delay-us {min(delay, 1_000_000)}")
    if batching.preferred_batch_size and delay:
        flags.append(f"--preferred-batch-sizes {','.join(map(str, batching.preferred_batch_size))}")
    if size := batching.default_queue_policy.max_queue_size:
        flags.append(f"--max-queue-requests {size}")
    return flags


def _left_out(config: pb.ModelConfig, fields: list[str], *, scores: bool) -> list[str]:
    told = []
    for field in fields:
        above = {field.rsplit(".", count)[0] for count in range(1, field.count(".") + 1)}
        if field not in _CARRIED and above <= _CARRIED:
            told.append(f"{field}: {advice}" if (advice := _ADVICE.get(field)) else field)
    if any(group.kind == pb.ModelInstanceGroup.KIND_GPU for group in config.instance_group):
        told.append("instance_group.kind KIND_GPU: models run on the CPU")
    tensors: list[Tensor] = [*config.input, *config.output]
    told += [
        f"{tensor.name}.reshape: callers send and get {_shape(tensor)}, not {list(tensor.dims)}"
        for tensor in tensors
        if tensor.HasField("reshape")
    ]
    if config.dynamic_batching.preferred_batch_size and not config.dynamic_batching.max_queue_delay_microseconds:
        told.append("dynamic_batching.preferred_batch_size: without a delay no batch waits to reach a size")
    told += [
        f"{tensor.name}.label_filename: --classifier takes the labels"
        for tensor in config.output
        if tensor.label_filename and not scores
    ]
    return told
