"""The table in a terminal: whole at 80 columns, the answer last."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_load_test import sample_killed_load_test, sample_load_test
from twinserve_loadtest.record.comparison import Comparison
from twinserve_loadtest.record.load_results import Results
from twinserve_loadtest.report import render_terminal


def printed(results: Results | Comparison, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    render_terminal(results, console)
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
    results = sample_killed_load_test()
    results.missing.append("lost [bold]x[/bold]")
    assert "[bold]x[/bold]" in printed(results, 400)
