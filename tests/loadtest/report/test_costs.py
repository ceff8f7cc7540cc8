"""Memory is told after a full batch, as a comparison judges it, and step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.files import save_record
from twinserve_loadtest.record.measurement import Memory
from twinserve_loadtest.report import read_document
from twinserve_loadtest.report.content import DataTable, IntervalChart
from twinserve_loadtest.report.document import Document
from twinserve_loadtest.report.served import added_at_batch_limit

Read = Callable[..., Document]


def test_the_figure_is_that_of_the_comparisons_effect(files: Files, document_of: Read) -> None:
    document = document_of(files.comparison)
    tile = next(tile for tile in document.headlines[0].tiles if tile.label == "Memory added")
    assert tile.detail == "21.4 → 9.80 MB"
    chart = document.section("costs").figures[0].content
    assert isinstance(chart, IntervalChart)
    assert [row.text for row in chart.rows] == ["21.4 MB", "9.80 MB"]


def test_every_step_to_full_warmth_is_in_the_table(files: Files, document_of: Read) -> None:
    table = next(f.content for f in document_of(files.load_test).section("costs").figures if "step" in f.title)
    assert isinstance(table, DataTable)
    assert table.columns == ["Variant", "loaded", "first inference", "a full batch", "every batch size"]
    assert table.rows[1] == ["int8", "2.94 MB", "5.88 MB", "9.80 MB", "31.4 MB"]


def test_variants_are_held_against_each_other_after_the_same_step() -> None:
    whole = sample_load_test()
    stages = {"fp32": {"load": 1.0, "batch_limit": 5.0}, "int8": {"load": 2.0}, "int8-dynamic": {}}
    told = {
        name: replace(variant, memory=Memory(added_by_stage=stages[name]))
        for name, variant in whole.model.variants.items()
    }
    assert added_at_batch_limit(replace(whole, model=replace(whole.model, variants=told))) == {"fp32": 1.0, "int8": 2.0}
    nothing = {name: replace(variant, memory=None) for name, variant in told.items()}
    assert added_at_batch_limit(replace(whole, model=replace(whole.model, variants=nothing))) == {}


def test_energy_is_told_where_it_is_known_and_its_absence_in_the_provenance(tmp_path: Path) -> None:
    whole = sample_load_test()
    run = whole.runs["offline"]
    arms = {
        name: replace(arm, joules_per_1000_images=joules)
        for (name, arm), joules in zip(run.arms.items(), (12.3, 4.56, None), strict=True)
    }
    told = replace(whole, runs={**whole.runs, "offline": replace(run, arms=arms)})
    told = replace(told, stamp=replace(told.stamp, energy="RAPL: package-0"))
    save_record(told, tmp_path / "told.json")
    document = read_document([tmp_path / "told.json"])
    (chart,) = (f.content for f in document.section("costs").figures if f.title.startswith("Joules"))
    assert isinstance(chart, IntervalChart)
    assert [(row.label, row.text) for row in chart.rows] == [("fp32", "12.3 J"), ("int8", "4.56 J")]
    assert document.provenance[0].facts["Energy"] == "RAPL: package-0"

    save_record(replace(whole, stamp=replace(whole.stamp, energy="unknown: no")), tmp_path / "untold.json")
    document = read_document([tmp_path / "untold.json"])
    assert not [f for f in document.section("costs").figures if f.title.startswith("Joules")]
    assert document.provenance[0].facts["Energy"] == "unknown: no"
