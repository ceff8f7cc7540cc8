"""Results files are told apart by what is in them, and what cannot be used is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.files import save_record
from twinserve_loadtest.report.inputs import ReportError, read_inputs


def test_files_are_told_apart_by_content_not_by_name_or_order(files: Files) -> None:
    inputs = read_inputs([files.load_test, files.comparison])
    swapped = read_inputs([files.comparison, files.load_test])
    for found in (inputs, swapped):
        assert [source.name for source, _ in found.records] == ["comparison.json", "load_test.json"]
        assert [record.comparison is not None for record in found.measured] == [True, False]


def test_an_absent_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"nothing\.json: cannot be read .*twinserve loadtest"):
        read_inputs([tmp_path / "nothing.json"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not json", r"bad\.json: is not JSON"),
        ("[1, 2]", r"bad\.json: is neither a load test, nor a comparison"),
        ('{"scenarios": [], "schema_version": 99}', r"bad\.json: schema_version is 99"),
        ('{"scenarios": {}, "verdict": {}, "schema_version": 1}', r"bad\.json: field 'baseline' is missing"),
        ('{"runs": {}, "schema_version": 2}', r"bad\.json: field created: Field required"),
        ('{"bench": {"model": "mnist"}}', r"bad\.json: bench, field version"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(ReportError, match=complaint):
        read_inputs([file])


def test_a_results_file_cut_off_by_a_full_disk_is_named(tmp_path: Path, files: Files) -> None:
    file = tmp_path / "cut.json"
    file.write_bytes(files.load_test.read_bytes()[:5000])
    with pytest.raises(ReportError, match=r"cut\.json: is not JSON"):
        read_inputs([file])


def test_two_models_do_not_share_a_page(tmp_path: Path, files: Files) -> None:
    other = sample_load_test()
    save_record(replace(other, model=replace(other.model, name="fashion")), tmp_path / "other.json")
    with pytest.raises(ReportError, match="fashion version 1, mnist version 1"):
        read_inputs([files.load_test, tmp_path / "other.json"])


def test_the_hash_of_the_file_stands_in_the_report(files: Files) -> None:
    (source, _), *_ = read_inputs([files.load_test]).records
    assert len(source.sha256) == 64
    assert json.loads(files.load_test.read_bytes())["schema_version"] == 2


def test_a_bench_alone_is_no_report(files: Files) -> None:
    with pytest.raises(ReportError, match="nothing to report on"):
        read_inputs([files.bench])
