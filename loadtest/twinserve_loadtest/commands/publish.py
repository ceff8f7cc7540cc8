"""Output of a comparison for pipelines: JUnit XML, a Markdown summary, and changes since an earlier one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from twinserve_host.files import FileError, check_writable, write_file
from twinserve_loadtest.compare.change import Change, NotComparableError, change_since, check_comparable
from twinserve_loadtest.record.files import RecordError, read_record
from twinserve_loadtest.report.junit import junit, junit_without_verdict
from twinserve_loadtest.report.summary import summary

if TYPE_CHECKING:
    from pathlib import Path

    from twinserve_loadtest.record.measurement import Record


class PublishError(Exception):
    """A file cannot be used; the message names the option and says why."""


@dataclass(frozen=True, slots=True)
class Publication:
    """The requested files, and the earlier comparison to compare with."""

    baseline: str
    candidate: str
    junit: Path | None = None
    summary: Path | None = None
    against: Record | None = None

    @classmethod
    def of(cls, baseline: str, candidate: str, junit: Path | None, summary: Path | None) -> Publication:
        """Check, before anything is measured, that the files can be written.

        Raises:
            PublishError: one of them cannot.
        """
        for option, path in (("--junit", junit), ("--summary", summary)):
            if path is not None:
                try:
                    check_writable(path)
                except FileError as error:
                    raise PublishError(f"{option}: {error}") from None
        return cls(baseline, candidate, junit, summary)

    def since(self, path: Path, model: str | None) -> Publication:
        """The same, compared with the result in ``path``; ``model`` None: whichever the server has.

        Raises:
            PublishError: it cannot be read, or compares something else.
        """
        try:
            earlier = read_record(path)
            check_comparable(earlier, self.baseline, self.candidate, str(path), model)
        except (RecordError, NotComparableError) as error:
            raise PublishError(f"--against: {error}") from None
        return replace(self, against=earlier)

    def change(self, record: Record) -> Change | None:
        """What changed since the earlier comparison; None: there is none."""
        return None if self.against is None else change_since(self.against, record)

    def write(self, record: Record) -> None:
        """Write what was asked for.

        Raises:
            PublishError: a file cannot be written any more.
        """
        self._write("--junit", self.junit, junit(record))
        self._write("--summary", self.summary, summary(record, self.change(record)))

    def write_failure(self, why: str) -> None:
        """Nothing was measured: overwrite the files, so that those of an earlier run are not mistaken for this one's.

        Raises:
            PublishError: a file cannot be written any more.
        """
        self._write("--junit", self.junit, junit_without_verdict(self.baseline, self.candidate, why))
        self._write("--summary", self.summary, f"## No verdict\n\n{why}\n")

    @staticmethod
    def _write(option: str, path: Path | None, text: str) -> None:
        if path is None:
            return
        try:
            write_file(path, text)
        except FileError as error:
            raise PublishError(f"{option}: {error}") from None
