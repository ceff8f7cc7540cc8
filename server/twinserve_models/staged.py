"""A version in the making: files and manifest are written to a staged folder (:mod:`twinserve_models.versions`), read
back and started as a server would. Needs torch or onnxruntime only to start a file of theirs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from twinserve_host.files import write_file
from twinserve_models.versions import SUFFIXES
from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion, read_manifest
from twinserve_server.artefact.schema import SCHEMA_VERSION, schema
from twinserve_server.errors import ArtefactError
from twinserve_server.ipc.load_facts import LoadFacts
from twinserve_server.model.tensor_forward import forward_of

#: A trial starts a file with so many items in a batch at most.
TRIAL_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class NewVariant:
    """A file that becomes a variant; ``stated`` is what the manifest says of it beside what the file itself tells."""

    name: str
    runtime: str
    data: bytes
    stated: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its name in the version's folder."""
        return f"{self.name}{SUFFIXES[self.runtime]}"

    def entry(self) -> dict[str, Any]:
        """All that the manifest says of it."""
        return {
            "file": self.file,
            "runtime": self.runtime,
            "device": "cpu",
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "bytes": len(self.data),
            **self.stated,
        }


def write_version(folder: Path, stated: dict[str, Any], variants: Iterable[NewVariant], where: str) -> ModelVersion:
    """Write files and manifest into ``folder``, which is staged as ``<model>/<version>``; return what a server reads.

    Args:
        folder: the staged folder.
        stated: the manifest's fields, without those that follow from the rest.
        variants: the files.
        where: what the manifest is called in messages, as ``folder`` is gone when they are read.

    Raises:
        ArtefactError: the manifest breaks its schema.
        FileError: a file cannot be written.
    """
    variants = list(variants)
    for variant in variants:
        write_file(folder / variant.file, variant.data)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "model": folder.parent.name,
        "version": folder.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **stated,
        "variants": {variant.name: variant.entry() for variant in variants},
    }
    path = folder / MANIFEST_NAME
    write_file(path, json.dumps(manifest, indent=2) + "\n")
    try:
        return read_manifest(folder)
    except ArtefactError as error:
        raise ArtefactError(error.message.replace(str(path), where)) from None


def start(version: ModelVersion, name: str, items: int = TRIAL_BATCH) -> LoadFacts:
    """Start a variant as a server would, in batches of ``items`` at most.

    Raises:
        ArtefactError: it does not start; the message leaves out the staged path, which is gone when it is read.
    """
    variant = version.variants[name]
    try:
        return forward_of(version)(version, variant, 1, min(items, variant.max_batch_size)).facts
    except ArtefactError as error:
        raise ArtefactError(error.message.replace(f"{variant.path}: ", "")) from None


def name_problem(word: str) -> str:
    """Why a model or a variant, which becomes the name of a folder or a file, cannot be called so; empty: it can."""
    if re.search(schema()["$defs"]["name"]["pattern"].replace("$", r"\Z"), word):
        return ""
    return f"{word!r} is not a valid name; use at most 64 of a-z, 0-9, '.', '_' and '-'"
