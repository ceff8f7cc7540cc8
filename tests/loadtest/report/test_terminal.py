"""The table in a terminal: whole at 80 columns, the answer last."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_load_test import sample_killed_load_test, sample_load_test
from loadtest.report.test_answer import generator_bound
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.report import document_of
from twinserve_loadtest.report.terminal import print_document


def printed(record: Record, width: int = 80, *, full: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_document(document_of(record, "results.json"), console, full=full)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_nothing_of_the_table_is_cut(width: int) -> None:
    text = printed(sample_load_test(), width)
    assert "…" not in text
    for figure in ("4,690.61", "98.97", "5.04", "int8-dynamic", "24,800", "21.4 MB"):
        assert figure in text


def test_the_data_set_stands_over_the_table() -> None:
    assert "MNIST, 10,000 test images" in printed(sample_load_test())
    assert "SMALL DATA SET" in printed(sample_load_test(1000, full=False))


def test_a_verdict_comes_with_its_gates() -> None:
    text = printed(sample_comparison())
    assert "SHIP" in text
    assert "✓ max_accuracy_loss" in text


def test_the_sentence_of_the_first_candidate_ends_the_output() -> None:
    last = printed(sample_load_test(), 2000).strip().splitlines()[-1]
    assert last.startswith("int8 is 3.96 times smaller than fp32")


def test_an_incomplete_run_is_said_before_the_table() -> None:
    text = printed(sample_killed_load_test())
    assert text.startswith("! INCOMPLETE RUN")
    assert text.index("INCOMPLETE RUN") < text.index("accuracy")


def test_names_with_brackets_are_printed_as_they_are() -> None:
    record = sample_killed_load_test()
    record.missing.append(Remark("lost", "lost [bold]x[/bold]"))
    assert "[bold]x[/bold]" in printed(record, 400)


def test_on_request_a_load_test_shows_its_percentiles_findings_and_caveats() -> None:
    text = printed(sample_load_test(), 140, full=True)
    assert "Percentiles, in milliseconds" in text
    assert "Closed loop" in text
    assert "Latency against rate: Highest rate with p99 within 20 ms" in text
    assert "Caveat: The load generator and the server shared one machine and its cores." in text


def test_on_request_a_comparison_shows_its_effects_with_noise_and_claims() -> None:
    text = printed(sample_comparison(), 140, full=True)
    (row,) = (line for line in text.splitlines() if line.startswith(" Open loop, p99"))
    assert "better" in row
    assert "3.0 %" in row
    assert "Accuracy: fp32 and int8 disagree on 12 of 10,000 images" in text


def test_what_is_missing_is_said_once() -> None:
    text = printed(sample_killed_load_test(), 400, full=True)
    assert text.count("Offline, fp32: 2 blocks were not run.") == 1


def test_a_figure_of_the_generator_is_marked_in_the_table() -> None:
    text = printed(generator_bound(sample_load_test(), "open", "latency"), 140, full=True)
    (row,) = (line for line in text.splitlines() if line.startswith(" Open loop") and " int8 " in line)
    assert row.count("†") >= 5
    assert "Caveat: Open loop, int8: latency is not valid" in text
