"""Reports: from the files of load tests and comparisons to one page, its JSON, a terminal table, a picture.

``write_report`` makes the page: a single HTML file that needs no network, and beside it a JSON file with every figure
on it. The way there: :mod:`~twinserve_loadtest.report.inputs` reads the files, :mod:`~twinserve_loadtest.report.build`
makes one :class:`~twinserve_loadtest.report.document.Document` of them, :mod:`~twinserve_loadtest.report.html`,
:mod:`~twinserve_loadtest.report.terminal` and :mod:`~twinserve_loadtest.report.picture` draw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_host.files import FileError, is_stream, write_file
from twinserve_loadtest.record.testset import TestSetError, load_test_set
from twinserve_loadtest.report.build import build_document
from twinserve_loadtest.report.html import render_html
from twinserve_loadtest.report.inputs import Inputs, ReportError, Source, read_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.report.document import Document

__all__ = ["ReportError", "document_of", "json_path", "read_document", "write_document", "write_report"]


def write_report(inputs: Sequence[Path], output: Path, *, test_set: Path | None = None) -> Path:
    """Make the page of some results and its JSON (:func:`json_path`).

    Args:
        inputs: Files of ``twinserve loadtest``, ``twinserve compare`` and ``twinserve models bench``.
        output: The HTML file; its folder is made when it is missing.
        test_set: ``testset.npz`` that a load test sent, for pictures of the images that variants answer differently.

    Returns:
        ``output``.

    Raises:
        ReportError: a file cannot be used or written; the message says which and why.
    """
    return write_document(read_document(inputs, test_set=test_set), output)


def read_document(inputs: Sequence[Path], *, test_set: Path | None = None) -> Document:
    """What a report of ``inputs`` says.

    Raises:
        ReportError: a file cannot be used; the message says which and why.
    """
    try:
        images = load_test_set(test_set) if test_set is not None else None
    except TestSetError as error:
        raise ReportError(str(error)) from None
    return build_document(read_inputs(inputs), images)


def write_document(document: Document, output: Path) -> Path:
    """Write the page and its JSON.

    Raises:
        ReportError: a file cannot be written.
    """
    try:
        write_file(output, render_html(document))
        if not is_stream(output):
            write_file(json_path(output), document.to_json() + "\n")
    except FileError as error:
        raise ReportError(f"the report cannot be written: {error}") from None
    return output


def json_path(output: Path) -> Path:
    """``reports/a.html`` → ``reports/a.report.json``: never the name of a results file."""
    return output.with_suffix(".report.json")


def document_of(record: Record, name: str) -> Document:
    """What a report of one record says; ``name`` is that of its file."""
    return build_document(Inputs([(Source(name), record)]))
