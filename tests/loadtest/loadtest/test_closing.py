"""The table and the sentence say what was measured, and nothing that was not."""

from __future__ import annotations

from rich.console import Console

from support.load_results import make_results, make_variant_result
from twinserve_loadtest.loadtest.closing import baseline_of, closing_sentence, closing_table, latency_table
from twinserve_loadtest.record.load_results import DatasetInfo, Results, Scenario


def standard(**int8: object) -> Results:
    """Accuracy, single stream and offline; ``int8`` changes the candidate's figures everywhere."""
    scenarios = [
        Scenario(
            name,
            {"batch": 64},
            {
                "fp32": make_variant_result("fp32", p50_us=800, p99_us=1500),
                "int8": make_variant_result(
                    "int8",
                    **{"p50_us": 400, "p99_us": 1000, "images_per_second": 4200.0, "correct": 985, **int8},  # type: ignore[arg-type]
                ),
            },
        )
        for name in ("accuracy", "single-stream", "offline")
    ]
    return make_results(scenarios)


def text_of(results: Results) -> str:
    """The closing table as plain text."""
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(closing_table(results))
    console.print(latency_table(results))
    return console.export_text()


def test_the_sentence_tells_size_speed_throughput_accuracy_and_the_images() -> None:
    assert closing_sentence(standard()) == (
        "int8 is 4.00 times smaller than fp32 (1,000 against 4,000 KB), "
        "answers 2.00 times as fast at p50 (0.40 against 0.80 ms) and "
        "1.50 times as fast at p99 (1.00 against 1.50 ms), "
        "has 4.20 times its throughput in batches (4,200 against 1,000 images/s), "
        "and is 0.50 points less accurate (98.50% against 99.00%); "
        "on 1,000 images of toy (the full test set; a test)."
    )


def test_a_figure_that_is_not_valid_is_marked_in_the_table_and_absent_from_the_sentence() -> None:
    results = standard(invalid={"latency": ["late"], "throughput": ["busy"]})
    assert "0.40†" in text_of(results)
    assert "4,200†" in text_of(results)
    assert "is of unknown speed (no valid figure: see the caveats)" in closing_sentence(results)
    assert "0.40" not in closing_sentence(results)


def test_a_percentile_that_was_withheld_is_a_dash_and_no_ratio() -> None:
    results = standard(p99_us=None)
    assert "p99" not in closing_sentence(results)
    assert "as fast at p50" in closing_sentence(results)


def test_a_slower_larger_more_accurate_candidate_is_told_as_such() -> None:
    sentence = closing_sentence(standard(p50_us=1600, correct=995))
    assert "0.50 times as fast at p50" in sentence
    assert "0.50 points more accurate" in sentence


def test_equal_accuracy_is_called_exactly_equal() -> None:
    assert "exactly as accurate (99.00% against 99.00%)" in closing_sentence(standard(correct=990))


def test_partial_coverage_is_shown_beside_the_accuracy() -> None:
    assert "98.50 of 50.0%" in text_of(standard(coverage=0.5))


def test_accuracy_on_a_part_of_the_images_is_not_compared() -> None:
    assert "is of unknown accuracy (not every image was answered)" in closing_sentence(standard(coverage=0.5))


def test_a_subset_is_named_as_one_under_the_table_and_in_the_sentence() -> None:
    small = make_results(dataset=DatasetInfo("toy", "a test", 1000, full=False))
    assert "NOT the full test set" in text_of(small)
    assert "NOT the full test set" in closing_sentence(small)


def test_incomplete_results_begin_with_that_word() -> None:
    assert closing_sentence(make_results(complete=False, missing=["something"])).startswith("INCOMPLETE: ")


def test_the_baseline_is_the_variant_that_is_not_quantised() -> None:
    results = make_results()
    assert baseline_of(results) == "fp32"
    turned = dict(reversed(results.model.variants.items()))
    results.model.variants.clear()
    results.model.variants.update(turned)
    assert baseline_of(results) == "fp32"
    assert closing_sentence(results).startswith("int8 is ")


def test_one_variant_alone_is_compared_with_nothing() -> None:
    results = make_results()
    del results.model.variants["int8"]
    assert closing_sentence(results) == "Only fp32 was tested: there is nothing to compare it with."


def test_the_table_of_latencies_says_that_locusts_own_is_coarser() -> None:
    assert "whole milliseconds" in text_of(standard())
