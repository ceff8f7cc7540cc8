"""What the import sub-commands of ``twinserve models`` do; each returns its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from twinserve_host.files import FileError
from twinserve_models.importing.frame import ImportModelError, Source, write_models
from twinserve_models.importing.mar import read_mar
from twinserve_models.importing.mlserver import read_settings
from twinserve_models.importing.triton import read_repository
from twinserve_models.terminal import console, fail


def import_mar(
    archive: Path, models: Path, shape: list[int], datatype: str, name: str, variant: str, *, as_json: bool
) -> int:
    """0: imported; 1: it cannot be."""
    return _import(lambda: [read_mar(archive, shape, datatype, name)], models, variant, as_json=as_json)


def import_triton(
    repository: Path, models: Path, only: str, name: str, variant: str, *, scores: bool, as_json: bool
) -> int:
    """0: all were imported; 1: one cannot be, and none was."""
    return _import(
        lambda: read_repository(repository, only, name, variant, scores=scores),
        models,
        variant,
        as_json=as_json,
        several=True,
    )


def import_mlserver(path: Path, models: Path, name: str, variant: str, *, scores: bool, as_json: bool) -> int:
    """0: imported; 1: it cannot be."""
    return _import(lambda: [read_settings(path, name, variant, scores=scores)], models, variant, as_json=as_json)


def _import(
    read: Callable[[], list[Source]], models: Path, variant: str, *, as_json: bool, several: bool = False
) -> int:
    try:
        found = read()
        folders = write_models(found, models, variant)
    except (ImportModelError, FileError) as error:
        return fail(str(error))
    if as_json:
        told = [
            {"folder": str(folder), "model": one.model, "serve": one.serve, "left_out": one.left_out}
            for folder, one in zip(folders, found, strict=True)
        ]
        print(json.dumps(told if several else told[0]))
        return 0
    asked = {" ".join(one.serve) for one in found}
    for folder, one in zip(folders, found, strict=True):
        console.print(f"{folder} is ready.", highlight=False)
        for line in one.left_out:
            console.print(f"not carried over: {line}", highlight=False, markup=False)
        if len(asked) > 1 and one.serve:
            console.print(f"asks for {' '.join(one.serve)}, which would hold for all models", highlight=False)
    flags = f" {asked.pop()}" if len(asked) == 1 else ""
    line = f"To serve: twinserve serve --models {models}{flags}".rstrip()
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0
