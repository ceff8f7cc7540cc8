"""What a report says: nothing vanishes, and the JSON holds all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.wire import from_plain
from twinserve_loadtest.report.build import build_document
from twinserve_loadtest.report.document import Document
from twinserve_loadtest.report.inputs import Inputs, Source

Read = Callable[..., Document]
SECTIONS = ["effects", "latency", "rate", "throughput", "accuracy", "costs", "why", "crossover"]


def test_the_json_gives_the_document_back(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test, files.comparison)
    assert from_plain(Document, json.loads(document.to_json())) == document


@pytest.mark.parametrize("kind", ["load_test", "comparison", "killed", "small", "quick"])
def test_every_section_keeps_its_place_and_shows_figures_or_says_why_not(
    kind: str, files: Files, document_of: Read
) -> None:
    document = document_of(getattr(files, kind))
    assert [section.key for section in document.sections] == SECTIONS
    assert all(section.figures or section.missing for section in document.sections)


def test_a_whole_comparison_lacks_nothing(files: Files, document_of: Read) -> None:
    document = document_of(files.comparison)
    assert [section.missing for section in document.sections] == [[] for _ in SECTIONS]
    assert document.alerts == []


def test_a_load_test_says_what_only_a_comparison_can_measure(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test)
    for key in ("effects", "crossover"):
        assert "twinserve compare" in document.section(key).missing[0]


def test_a_killed_run_says_in_each_section_what_it_lost(files: Files, document_of: Read) -> None:
    document = document_of(files.killed)
    assert document.section("throughput").missing == ["Offline, fp32: 2 blocks were not run."]
    assert "Single stream, int8: 2 blocks were not run." in document.section("latency").missing
    assert "4,096 of 10,000 test images" in document.section("accuracy").missing[0]


def test_an_interrupted_comparison_says_so_in_its_sections_and_on_top() -> None:
    whole = sample_comparison()
    assert whole.comparison is not None
    cut = replace(
        whole,
        rates=None,
        comparison=replace(whole.comparison, crossover=[]),
        complete=False,
        missing=[
            Remark("ended_early", "The measurement ended during A/B comparison: the server is gone."),
            Remark("not_measured", "Not measured: rate within the objective.", "rate"),
            Remark("not_measured", "Not measured: crossover map.", "crossover"),
        ],
    )
    document = build_document(Inputs([(Source("cut.json"), cut)]))
    assert document.section("rate").missing == ["Not measured: rate within the objective."]
    assert document.section("crossover").missing == ["Not measured: crossover map."]
    assert document.alerts[0].text.startswith("INCOMPLETE COMPARISON (cut.json): The measurement ended during A/B")


def test_a_section_says_what_was_found_in_a_sentence(files: Files, document_of: Read) -> None:
    document = document_of(files.comparison)
    assert document.section("throughput").finding.startswith("Images per second, as fast as possible, 64 images per")
    assert "disagree on 12 of 10,000 images" in document.section("accuracy").finding
    assert "fp32 1,900, int8 4,300" in document.section("rate").finding


def test_with_several_files_each_figure_names_its_own(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test, files.comparison)
    sources = {figure.source for figure in document.section("latency").figures}
    assert {"load_test.json", "comparison.json"} <= sources


def test_the_machine_and_the_command_stand_in_the_report(files: Files, document_of: Read) -> None:
    entry = document_of(files.comparison).provenance[0]
    assert entry.command == "twinserve compare fp32 int8 --seed 1"
    assert entry.facts["Instruction set"] == "x86_64+avx512_vnni+avx512f+avx2"
    assert entry.facts["Cores"] == "2 cores"
    assert document_of(files.comparison).machine == "Imagined CPU @ 2.0 GHz, 2 cores, AVX512 VNNI"
