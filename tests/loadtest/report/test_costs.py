"""Memory is told after a full batch, as a comparison judges it, and step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.measurement import Memory
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
