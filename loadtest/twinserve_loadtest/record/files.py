"""Writing and reading records."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from twinserve_host.files import FileError, rescue_file, write_file
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.measurement import SCHEMA_VERSION, Record
from twinserve_loadtest.record.upgrade import upgrade
from twinserve_loadtest.record.wire import first_fault, from_plain, to_plain

if TYPE_CHECKING:
    from pathlib import Path


class RecordError(Exception):
    """A file cannot be used; the message names it, the field and the rule."""


def save_record(record: Record, path: Path) -> tuple[Path, str]:
    """Write ``record`` atomically, or elsewhere if it cannot be written to ``path`` any more.

    Returns:
        Where it is, and why it is not at ``path`` (empty if it is).

    Raises:
        FileError: it cannot be written anywhere.
    """
    text = json.dumps(to_plain(record), indent=1, ensure_ascii=False) + "\n"
    try:
        write_file(path, text)
    except FileError as error:
        return rescue_file(path, text), str(error)
    return path, ""


def read_record(path: Path) -> Record:
    """Read a record of this version or of an older one.

    Raises:
        RecordError: the file is absent, not JSON, of an unknown version, or lacks a field.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be read ({error.strerror}); write one with `twinserve loadtest` or `twinserve compare`"
        ) from None
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON ({error})") from None
    return parse_record(document, str(path))


def parse_record(document: Any, source: str) -> Record:
    """A record from its JSON.

    Raises:
        RecordError: as :func:`read_record`; ``source`` names the file.
    """
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version not in (1, SCHEMA_VERSION):
        raise RecordError(f"{source}: schema_version is {version!r}; this program reads 1 and {SCHEMA_VERSION}")
    try:
        if version == SCHEMA_VERSION:
            return from_plain(Record, document)
        record = from_plain(Record, upgrade(document))
    except ValidationError as error:
        raise RecordError(f"{source}: {first_fault(error)}") from None
    except KeyError as error:
        raise RecordError(f"{source}: field {error} is missing") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise RecordError(f"{source}: does not follow schema version 1 ({error})") from None
    return replace(record, caveats=caveats_of(record))
