"""Writing and reading the results file of a load test (JSON, ``results.Results``)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from twinserve_host.files import write_file
from twinserve_loadtest.record.load_results import SCHEMA_VERSION, Results

if TYPE_CHECKING:
    from pathlib import Path


class ResultsError(Exception):
    """A results file that cannot be used; the text names the file and what is wrong with it."""


@lru_cache
def _adapter() -> TypeAdapter[Results]:
    return TypeAdapter(Results)


def save_results(results: Results, path: Path) -> None:
    """Write ``results`` as JSON, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    write_file(path, encode_results(results))


def encode_results(results: Results) -> bytes:
    """The file's content."""
    return _adapter().dump_json(results, indent=1) + b"\n"


def load_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsError: the file is absent, not JSON, of another schema version, or lacks a field.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}); write one with `twinserve loadtest`") from None
    except ValueError as error:
        raise ResultsError(f"{path}: is not JSON ({error})") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ResultsError(f"{path}: schema_version is {version!r}; this program reads {SCHEMA_VERSION}")
    try:
        return _adapter().validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultsError(f"{path}: {where}: {first['msg']}") from None
