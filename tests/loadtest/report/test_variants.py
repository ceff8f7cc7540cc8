"""The table of size, accuracy and time, and one colour a variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.report.build import build_document
from twinserve_loadtest.report.content import LineChart
from twinserve_loadtest.report.document import Document
from twinserve_loadtest.report.inputs import Inputs, Source

Read = Callable[..., Document]
SOURCE = Source("results.json")


def test_the_published_figures_stand_above_ours(files: Files, document_of: Read) -> None:
    first, second, *ours = document_of(files.load_test).table
    assert (first.size_bytes, first.accuracy.value) == (4690.61 * 1024, 0.9897)
    assert (second.size_bytes, second.accuracy.value) == (1232.20 * 1024, 0.9898)
    assert (first.in_process_seconds, second.in_process_seconds) == ({64: 5.04}, {64: 5.00})
    assert [row.variant for row in ours] == ["fp32", "int8", "int8-dynamic"]


def test_another_data_set_is_not_held_against_them() -> None:
    results = replace(sample_load_test(), dataset=Dataset("Fashion", "made up", 10_000, full=True))
    table = build_document(Inputs([(SOURCE, results)])).table
    assert [row.variant for row in table] == ["fp32", "int8", "int8-dynamic"]


def test_accuracy_has_wilsons_interval(files: Files, document_of: Read) -> None:
    row = document_of(files.load_test).table[2]
    assert (row.correct, row.images) == (9900, 10_000)
    assert row.accuracy.low is not None
    assert row.accuracy.high is not None
    # Wilson's interval of 9,900 of 10,000, as any table gives it.
    assert round(row.accuracy.low, 4) == 0.9879
    assert round(row.accuracy.high, 4) == 0.9918


def test_a_variant_has_its_colour_in_any_company(files: Files, document_of: Read) -> None:
    three = {style.name: style.slot for style in document_of(files.load_test).variants}
    two = {style.name: style.slot for style in document_of(files.dynamic).variants}
    assert two == {"fp32": three["fp32"], "int8-dynamic": three["int8-dynamic"]}
    assert len(set(three.values())) == 3


def test_unknown_variants_get_colours_of_their_own() -> None:
    results = sample_load_test()
    onnx = replace(results.model.variants["int8"], name="onnx")
    model = replace(results.model, variants={**results.model.variants, "onnx": onnx})
    styles = build_document(Inputs([(SOURCE, replace(results, model=model))])).variants
    assert len({style.slot for style in styles}) == 4


def test_figures_of_one_column_are_from_one_run(files: Files, document_of: Read) -> None:
    """The comparison knows two variants, the load test three: all three are the load test's."""
    both = {row.variant: row.served for row in document_of(files.comparison, files.load_test).table}
    alone = {row.variant: row.served for row in document_of(files.load_test).table}
    assert both["int8"].images_per_second == alone["int8"].images_per_second
    assert both["fp32"].p50_us == alone["fp32"].p50_us


def test_a_comparison_gives_throughput_its_interval(files: Files, document_of: Read) -> None:
    throughput = document_of(files.comparison).table[-1].served.images_per_second
    assert throughput.value is not None
    assert throughput.low is not None
    assert throughput.high is not None
    assert throughput.low < throughput.value < throughput.high


def test_a_variant_against_itself_makes_a_page() -> None:
    whole = sample_comparison()
    again = "fp32 (again)"
    arms = {"fp32": "fp32", "int8": again}
    runs = {
        name: replace(run, arms={arms[arm]: result for arm, result in run.arms.items()})
        for name, run in whole.runs.items()
    }
    variants = {arms[arm]: replace(variant, name=arms[arm]) for arm, variant in whole.model.variants.items()}
    assert whole.comparison is not None
    same = replace(
        whole,
        runs=runs,
        model=replace(whole.model, variants=variants),
        comparison=replace(whole.comparison, candidate=again, accuracy=None),
        rates=None,
    )
    document = build_document(Inputs([(SOURCE, same)]))
    assert [style.name for style in document.variants] == ["fp32", again]
    assert document.table[-1].size_bytes == 1186 * 1024


def test_a_bench_file_adds_the_times_in_one_process(files: Files, document_of: Read) -> None:
    table = {row.variant: row for row in document_of(files.load_test, files.bench).table}
    assert table["int8"].in_process_seconds == {1: 3.0, 64: 1.1}
    assert document_of(files.load_test).table[-1].in_process_seconds == {}


def test_median_and_tail_are_of_one_load(files: Files, document_of: Read) -> None:
    document = document_of(files.comparison)
    assert document.loads.latency == "one request in flight, one image per request"
    chart = next(f for f in document.section("latency").figures if f.title.startswith("Single stream")).content
    assert isinstance(chart, LineChart)
    drawn = {line.variant: {point.y: point.x for point in line.points} for line in chart.series}
    for row in document.table[2:]:
        assert row.served.p50_us == pytest.approx(1000 * drawn[row.label][0.5], rel=0.002)
        assert row.served.p99_us == pytest.approx(1000 * drawn[row.label][0.99], rel=0.002)


def test_a_load_that_carries_no_tail_gives_way_to_one_that_does() -> None:
    whole = sample_comparison()
    single = whole.runs["single-stream"]
    arms = {}
    for name, arm in single.arms.items():
        latency = replace(arm.latency, percentiles_us={**arm.latency.percentiles_us, "p99": None})
        arms[name] = replace(arm, latency=latency)
    thin = replace(whole, runs={**whole.runs, "single-stream": replace(single, arms=arms)})
    document = build_document(Inputs([(SOURCE, thin)]))
    assert document.loads.latency.startswith("300 requests/s, Poisson arrivals")
