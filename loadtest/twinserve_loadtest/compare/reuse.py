"""``twinserve compare A B --reuse FILE``: repeat an earlier verdict, but only where it holds."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.stamp import read_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from twinserve_loadtest.record.comparison import Verdict
    from twinserve_loadtest.record.measurement import Record


class VerdictRefusedError(Exception):
    """The verdict does not hold here; the message says what differs and how to get one that does."""


def reusable(path: Path, baseline: str, candidate: str, models: Path) -> Record:
    """The earlier comparison, when its verdict holds here.

    Raises:
        RecordError: the file cannot be used.
        VerdictRefusedError: it is of other variants, another instruction set, or other artefacts.
    """
    record = read_record(path)
    found = record.comparison
    if found is not None and (found.baseline, found.candidate) != (baseline, candidate):
        raise VerdictRefusedError(
            f"{path} compares {found.baseline} with {found.candidate}, not {baseline} with {candidate}"
        )
    reuse(record, read_stamp().isa, _artefacts(models, record))
    return record


def reuse(record: Record, isa: str, artefacts: Mapping[str, str]) -> Verdict:
    """The verdict of an earlier comparison, when it holds here.

    Args:
        record: the earlier comparison.
        isa: :attr:`Stamp.isa` of the machine that would serve.
        artefacts: SHA-256 by variant, of the artefacts that would be served; those not known are left out.

    Raises:
        VerdictRefusedError: another instruction set, or other artefacts.
    """
    compared = record.comparison
    if compared is None:
        raise VerdictRefusedError("a load test has no verdict; `twinserve compare` gives one")
    again = f"`twinserve compare {compared.baseline} {compared.candidate}`"
    if isa != record.stamp.isa:
        raise VerdictRefusedError(
            f"the verdict was reached on {record.stamp.isa}, but this machine is {isa}, where INT8 may be slower; "
            f"run {again} on this machine"
        )
    for variant in (compared.baseline, compared.candidate):
        measured, present = record.stamp.artefacts.get(variant), artefacts.get(variant)
        if measured and present and measured != present:
            raise VerdictRefusedError(
                f"the verdict was reached with {variant} of SHA-256 {measured[:12]}, but the one here is "
                f"{present[:12]}; run {again} again"
            )
    return compared.verdict


def _artefacts(models: Path, record: Record) -> dict[str, str]:
    """SHA-256 by variant as the manifests in ``models`` say; those without are left out."""
    found = {}
    for name, variant in record.model.variants.items():
        manifest = models / record.model.name / (variant.version or record.model.version) / "manifest.json"
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            entry = json.loads(manifest.read_text("utf-8"))["variants"][variant.served_as]
            found[name] = str(entry["sha256"])
    return found
