"""How a measurement ends on the command line: writes the record and its page, prints the result, sets the exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from twinserve_client.cli.main import UNEXPECTED
from twinserve_host.files import FileError, is_stream
from twinserve_loadtest.commands.publish import Publication, PublishError
from twinserve_loadtest.compare.command import CompareError, CompareOrder, compare
from twinserve_loadtest.compare.exit_codes import EXIT_CODES, NO_VERDICT
from twinserve_loadtest.compare.reuse import VerdictRefusedError, reusable
from twinserve_loadtest.loadtest.command import LoadTestError, Order, exit_code, run_load_test
from twinserve_loadtest.record.files import RecordError, save_record
from twinserve_loadtest.report import ReportError, document_of, write_document
from twinserve_loadtest.report.summary import changes_in_words
from twinserve_loadtest.report.terminal import print_document

if TYPE_CHECKING:
    from pathlib import Path

    from twinserve_loadtest.compare.change import Change
    from twinserve_loadtest.record.measurement import Record


def run_loadtest(order: Order, *, as_json: bool = False) -> int:
    """Test, write, show; the exit code."""
    out, err = Console(), Console(stderr=True)
    try:
        record = run_load_test(order, err)
    except LoadTestError as error:
        _say(err, f"Error: {error}", "red")
        return error.exit_code
    except FileError as error:
        _say(err, f"Error: {error}", "red")
        return UNEXPECTED
    code = exit_code(record)
    if as_json:
        print(json.dumps({**_figures(record), "exit_code": code, "result": str(order.output)}, indent=1))
        return code
    print_document(document_of(record, order.output.name), out, full=True)
    _say(out, f"Raw results: {order.output}")
    return code


def _figures(record: Record) -> dict[str, Any]:
    """The main figures of each scenario and variant, for programs; the file has the rest."""
    return {
        "complete": record.complete,
        "missing": [remark.text for remark in record.missing],
        "runs": {
            scenario: {
                name: {
                    "requests": arm.requests,
                    "failed": arm.failed,
                    "images_per_second": arm.images_per_second,
                    "latency_us": arm.latency.percentiles_us,
                    "servers": {server: share.requests for server, share in arm.servers.items()},
                    "accuracy": arm.answers.share.estimate if arm.answers is not None else None,
                }
                for name, arm in run.arms.items()
            }
            for scenario, run in record.runs.items()
        },
    }


def run_compare(order: CompareOrder, publication: Publication | None = None) -> int:
    """Measure, judge, write, show; the exit code."""
    err = Console(stderr=True)
    publication = publication or Publication(order.settings.baseline, order.settings.candidate)
    try:
        record = compare(order, err)
    except CompareError as error:
        return no_verdict(str(error), publication)
    return finish_comparison(record, order.output, as_json=order.as_json, publication=publication)


def run_reuse(path: Path, models: Path, publication: Publication, *, as_json: bool) -> int:
    """Show the verdict of ``path``; the exit code is the verdict's, or ``NO_VERDICT`` when it is refused."""
    try:
        record = reusable(path, publication.baseline, publication.candidate, models)
    except (RecordError, VerdictRefusedError) as error:
        return no_verdict(str(error), publication)
    if (earlier := publication.against) is not None and earlier.model.name != record.model.name:
        why = f"--against: compares variants of {earlier.model.name}, not of {record.model.name}"
        return no_verdict(why, publication)
    code = _publish(record, publication, _verdict_code(record))
    return _show(record, path, code, publication.change(record), as_json=as_json)


def finish_comparison(record: Record, path: Path, *, as_json: bool, publication: Publication | None = None) -> int:
    """Write the record to ``path`` and its page beside it, show it; the exit code."""
    err = Console(stderr=True)
    place: Path | None = None
    try:
        place, problem = save_record(record, path)
    except FileError as error:
        problem = f"{error}; the result is lost except for what is shown"
    if problem:
        _say(err, f"Error: {problem}", "red")
    # A pipeline that expects the result at this path must not continue with none, or with an older one.
    code = NO_VERDICT if problem else _verdict_code(record)
    page = _write_page(record, path, err) if not problem and not is_stream(path) else None
    change = None
    if publication is not None:
        code, change = _publish(record, publication, code), publication.change(record)
    _show(record, place, code, change, as_json=as_json)
    if not as_json:
        for name, file in (("Result", place), ("Report", page)):
            if file is not None:
                _say(Console(), f"{name}: {file}")
    return code


def _publish(record: Record, publication: Publication, code: int) -> int:
    """Write what a pipeline asked for; the exit code, which is no verdict's when it would miss a file."""
    try:
        publication.write(record)
    except PublishError as error:
        _say(Console(stderr=True), f"Error: {error}", "red")
        return NO_VERDICT
    return code


def no_verdict(why: str, publication: Publication) -> int:
    """Say why there is no verdict, also in the files that a pipeline asked for; the exit code."""
    err = Console(stderr=True)
    _say(err, f"Error: {why}", "red")
    try:
        publication.write_failure(why)
    except PublishError as error:
        _say(err, f"Error: {error}", "red")
    return NO_VERDICT


def _show(record: Record, place: Path | None, code: int, change: Change | None, *, as_json: bool) -> int:
    """On standard output: for a reader, or the verdict for a pipeline."""
    if as_json:
        assert record.comparison is not None
        verdict = asdict(record.comparison.verdict)
        told = {**verdict, "exit_code": code, "result": str(place) if place else None}
        if change is not None:
            told["change"] = asdict(change)
        print(json.dumps(told, indent=1))
    else:
        print_document(document_of(record, place.name if place else "comparison"), Console(), full=True)
        for line in changes_in_words(change) if change is not None else ():
            _say(Console(), line)
    return code


def _verdict_code(record: Record) -> int:
    assert record.comparison is not None
    return EXIT_CODES[record.comparison.verdict.outcome]


def _write_page(record: Record, path: Path, err: Console) -> Path | None:
    """The report beside the result; a page that cannot be written does not change the verdict."""
    try:
        return write_document(document_of(record, path.name), path.with_suffix(".html"))
    except ReportError as error:
        _say(err, f"No report: {error}", "yellow")
        return None


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
