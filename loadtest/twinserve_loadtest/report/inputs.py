"""The input files of a report, recognised by their content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twinserve_loadtest.record.files import RecordError, parse_record
from twinserve_loadtest.report.bench import Bench, BenchError, parse_bench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from twinserve_loadtest.record.measurement import Record, Variant


class ReportError(Exception):
    """A report that cannot be made; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """The file that an input was read from."""

    name: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that was given: at least one record, comparisons first."""

    records: list[tuple[Source, Record]] = field(default_factory=list)
    benches: list[tuple[Source, Bench]] = field(default_factory=list)

    @property
    def measured(self) -> list[Record]:
        """The records alone."""
        return [record for _, record in self.records]

    @property
    def labelled(self) -> list[tuple[str, Record]]:
        """The records, each with its file's name where a figure must say which run it is from."""
        return [(source.name if len(self.records) > 1 else "", record) for source, record in self.records]

    @property
    def baseline(self) -> str:
        """The variant that the others are held against."""
        return self.measured[0].baseline

    def models(self) -> Iterator[tuple[str, str]]:
        """(name, version) of the model of every input."""
        yield from ((record.model.name, record.model.version) for record in self.measured)
        yield from ((bench.model, bench.version) for _, bench in self.benches)

    def variants(self) -> Iterator[Variant]:
        """Every variant of every record, under the name of its arm."""
        for record in self.measured:
            yield from record.model.variants.values()


def read_inputs(paths: Sequence[Path]) -> Inputs:
    """Read records and benches, in any order.

    Raises:
        ReportError: no file, a file of another kind, or inputs about different models.
    """
    inputs = Inputs()
    for path in paths:
        _read(path, inputs)
    if not inputs.records:
        raise ReportError(
            "nothing to report on: give at least one file written by `twinserve loadtest` or `twinserve compare`"
        )
    inputs.records.sort(key=lambda given: given[1].comparison is None)
    models = set(inputs.models())
    if len(models) > 1:
        names = ", ".join(sorted(f"{name} version {version}" for name, version in models))
        raise ReportError(f"the files are about different models ({names}): make a report for each")
    return inputs


def _read(path: Path, inputs: Inputs) -> None:
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be read ({error.strerror}); write one with `twinserve loadtest` or `twinserve compare`"
        ) from None
    except ValueError as error:
        raise ReportError(f"{path}: is not JSON ({error})") from None
    source = Source(path.name, hashlib.sha256(content).hexdigest())
    keys = document.keys() if isinstance(document, dict) else set()
    try:
        if "bench" in keys:
            inputs.benches.append((source, parse_bench(document["bench"], str(path))))
        elif keys & {"runs", "scenarios"}:
            inputs.records.append((source, parse_record(document, str(path))))
        else:
            raise ReportError(
                f"{path}: is neither a load test, nor a comparison, nor a bench; give a file written by "
                "`twinserve loadtest`, `twinserve compare` or `twinserve models bench`"
            )
    except (BenchError, RecordError) as error:
        raise ReportError(str(error)) from None
