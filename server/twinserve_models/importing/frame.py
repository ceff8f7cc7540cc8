"""Shared by all imports: a source, once it has passed the server's checks, becomes a model folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twinserve_models.staged import NewVariant, name_problem, start, write_version
from twinserve_models.versions import scratch_in
from twinserve_server.errors import ArtefactError

#: The forward pass is tried with this many items if the model takes that many.
_TRIED: Final = 2


class ImportModelError(Exception):
    """The model cannot be imported; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a foreign form says of one model, in the words of a manifest.

    Attributes:
        where: what it was read from, for messages.
        model: its name here.
        version: its version here, a number.
        description: one sentence.
        data: the artefact's bytes.
        runtime: torchscript or onnx.
        inputs, outputs, output: as the manifest has them.
        max_batch_size: of a forward pass; 0: not stated.
        serve: flags of ``twinserve serve`` that stand for settings which no manifest holds.
        left_out: what has no counterpart, in words.
    """

    where: str
    model: str
    version: str
    description: str
    data: bytes
    runtime: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    output: dict[str, Any]
    max_batch_size: int = 0
    serve: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_file(path: Path) -> bytes:
    """An artefact, or what lies beside it.

    Raises:
        ImportModelError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImportModelError(f"{path}: cannot be read ({error.strerror or error})") from None


def write_models(sources: list[Source], models: Path, variant: str) -> list[Path]:
    """Write ``models/<model>/<version>`` for every source, each with one variant, all or none; return the folders.

    Raises:
        ImportModelError: a name is taken or none, or the server would refuse the model.
        FileError: a file or folder cannot be written.
    """
    for option, word in (("--variant", variant), *(("--name", source.model) for source in sources)):
        if problem := name_problem(word):
            raise ImportModelError(f"{option}: {problem}")
    for source in sources:
        if (models / source.model).exists():
            raise ImportModelError(
                f"{models / source.model}: exists already; give another name with --name, or remove it"
            )
    with _scratch(models) as scratch:
        for source in sources:
            _write(source, scratch / source.model / source.version, variant)
        for source in sources:
            (scratch / source.model).rename(models / source.model)
    return [models / source.model / source.version for source in sources]


def _write(source: Source, folder: Path, variant: str) -> None:
    limit = {"max_batch_size": source.max_batch_size} if source.max_batch_size else {}
    stated = {
        "description": source.description,
        "inputs": source.inputs,
        "outputs": source.outputs,
        "output": source.output,
    }
    new = NewVariant(variant, source.runtime, source.data, limit)
    try:
        start(write_version(folder, stated, [new], source.where), variant, _TRIED)
    except ArtefactError as error:
        said = error.message.removeprefix(f"{source.where}: ")
        raise ImportModelError(f"{source.where}: {said}") from None


@contextmanager
def _scratch(models: Path) -> Iterator[Path]:
    """A folder inside ``models``, where no server looks for manifests; an empty ``models`` is removed in the end."""
    try:
        with scratch_in(models, ".importing-") as scratch:
            yield scratch
    finally:
        with contextlib.suppress(OSError):  # something is in it
            models.rmdir()
