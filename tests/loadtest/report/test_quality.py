"""A model without classes is reported by its metric, from the record to page, terminal and picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from loadtest.report.sample_comparison import sample_comparison
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.comparison import PairedQuality, QualityItem
from twinserve_loadtest.record.files import read_record, save_record
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.run import Interval, Quality
from twinserve_loadtest.report import document_of
from twinserve_loadtest.report.html import render_html
from twinserve_loadtest.report.picture import draw_picture
from twinserve_loadtest.report.terminal import print_document


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The sample comparison, were its model one of tensors; written and read again."""
    sample = sample_comparison()
    losses = {"fp32": Interval(0.1, 0.09, 0.11), "int8": Interval(0.12, 0.1, 0.14)}
    run = sample.runs["accuracy"]
    arms = {
        name: replace(arm, answers=None, quality=Quality("mse", 500, 1.0, losses[name]))
        for name, arm in run.arms.items()
    }
    quality = PairedQuality(
        metric="mse",
        against="",
        items=500,
        baseline=losses["fp32"],
        candidate=losses["int8"],
        difference=Interval(0.02, 0.015, 0.025),
        margin=0.03,
        margin_words="1 % of the targets' variance",
        worst=[QualityItem(17, 0.1, 4.5)],
        unanswered={"int8": 3},
    )
    assert sample.comparison is not None
    made = replace(
        sample,
        model=replace(
            sample.model,
            labels=[],
            item_shape=[],
            manifest={**sample.model.manifest, "output": {"kind": "tensors", "metric": "mse"}},
        ),
        runs={**sample.runs, "accuracy": replace(run, arms=arms)},
        comparison=replace(sample.comparison, accuracy=None, quality=quality),
    )
    file = tmp_path_factory.mktemp("record") / "compare.json"
    save_record(replace(made, caveats=caveats_of(made)), file)
    return read_record(file)


def test_the_page_tells_losses_their_difference_and_the_margin(record: Record) -> None:
    document = document_of(record, "compare.json")
    page = render_html(document)
    for words in (
        "Mean loss, mse",
        "0.1 (0.09 to 0.11), 500 items",
        "+0.02 (95 %: +0.015 to +0.025, Student, paired)",
        "within the margin of 0.03, 1 % of the targets&#39; variance",
        "Where the variants differ most",
        "int8 left 3 items unanswered",
    ):
        assert words in page
    assert "Correct answers" not in page
    assert document.section("accuracy").missing == []
    assert [tile.value for tile in document.headlines[0].tiles if tile.label == "Loss, mse"] == ["+0.02"]


def test_the_terminal_has_a_column_for_the_loss(record: Record) -> None:
    console = Console(width=120, record=True)
    print_document(document_of(record, "compare.json"), console, full=True)
    text = console.export_text()
    assert "loss" in text
    assert "Mean mse against the expected outputs: fp32 0.1, int8 0.12 on 500 items" in text
    assert "accuracy\n%" not in text


def test_the_picture_has_a_panel_for_it(record: Record, tmp_path: Path) -> None:
    assert draw_picture(document_of(record, "compare.json"), tmp_path / "result.png").stat().st_size > 10_000


def test_targets_that_are_the_baselines_answers_are_a_caveat(record: Record) -> None:
    assert record.comparison is not None
    assert record.comparison.quality is not None
    against = replace(record.comparison, quality=replace(record.comparison.quality, against="fp32"))
    codes = {remark.code for remark in caveats_of(replace(record, comparison=against))}
    assert {"fidelity", "unanswered"} <= codes
    assert "fidelity" not in {remark.code for remark in record.caveats}
