"""Strict validation of manifests (JSON Schema 2020-12): one schema file per version."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, cast

from twinserve_server.errors import ArtefactError, shown

#: The version that is written; version 1 is still read.
SCHEMA_VERSION = 2


@cache
def schema(version: int = SCHEMA_VERSION) -> dict[str, Any]:
    """The JSON Schema of manifests of a version."""
    name = "manifest.schema.json" if version == SCHEMA_VERSION else f"manifest.v{version}.schema.json"
    text = resources.files("twinserve_server.artefact").joinpath(name).read_text("utf-8")
    return cast("dict[str, Any]", json.loads(text))


def validate_manifest(manifest: object, source: str) -> None:
    """Check ``manifest`` against the schema of the version that it states.

    Raises:
        ArtefactError: names ``source``, the field and the rule it breaks.
    """
    import jsonschema  # noqa: PLC0415  (only who reads manifests pays for it; gateways do not)

    base = jsonschema.Draft202012Validator
    strict = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        base,
        {"pattern": _check_pattern},
        # JSON Schema takes 4.0 for an integer; what counts items here must be one in Python, too.
        type_checker=base.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
    )
    stated = manifest.get("schema_version", SCHEMA_VERSION) if isinstance(manifest, dict) else SCHEMA_VERSION
    if stated not in (1, SCHEMA_VERSION):
        raise ArtefactError(
            f"{source}: field schema_version: is {reprlib.repr(stated)}; this server reads 1 and {SCHEMA_VERSION}"
        )
    problem = jsonschema.exceptions.best_match(strict(schema(int(stated))).iter_errors(manifest))
    if problem is not None:
        where = ".".join(str(part) for part in problem.absolute_path) or "(top level)"
        raise ArtefactError(f"{source}: field {shown(where)[1:-1]}: {_one_line(problem.message)}")


def _check_pattern(_: Any, pattern: str, value: object, __: Any) -> Iterator[Exception]:
    """As ECMA 262 means it: ``$`` is the end of the text, while Python's also matches before a last line feed."""
    import jsonschema  # noqa: PLC0415

    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield jsonschema.ValidationError(f"{shown(value)} does not match {pattern!r}")


def _one_line(message: str) -> str:
    """A message that may repeat a whole value, shortened to its beginning and its end."""
    text = " ".join(message.split())
    return text if len(text) <= 300 else f"{text[:150]} … {text[-140:]}"
