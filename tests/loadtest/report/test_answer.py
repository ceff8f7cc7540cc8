"""The answer on top: a verdict with its gates, or a sentence that claims no more than a load test can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from support.records import make_arm, make_record
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.comparison import VerdictOutcome
from twinserve_loadtest.record.measurement import Dataset, Record
from twinserve_loadtest.record.run import Run
from twinserve_loadtest.record.terms import Figure, Scenario
from twinserve_loadtest.report.answer import headlines
from twinserve_loadtest.report.document import Document

Read = Callable[..., Document]


def tiles(document: Document) -> dict[str, str]:
    return {tile.label: tile.value for tile in document.headlines[0].tiles}


def test_a_verdict_shows_its_figures_at_first_glance(files: Files, document_of: Read) -> None:
    headline = document_of(files.comparison).headlines[0]
    assert headline.outcome == "SHIP"
    assert headline.tone == "good"
    assert [tile.label for tile in headline.tiles] == [
        "Size",
        "Accuracy",
        "p50, one in flight",
        "p99, open loop",
        "Throughput",
        "Memory added",
    ]
    assert all(gate.outcome == "pass" for gate in headline.gates)


@pytest.mark.parametrize(
    ("outcome", "tone"), [("SHIP", "good"), ("DO NOT SHIP", "bad"), ("NOT ENOUGH EVIDENCE", "open")]
)
def test_each_outcome_has_its_tone(outcome: VerdictOutcome, tone: str) -> None:
    whole = sample_comparison()
    assert whole.comparison is not None
    verdict = replace(whole.comparison.verdict, outcome=outcome, summary=f"{outcome}: because.")
    (headline,) = headlines(replace(whole, comparison=replace(whole.comparison, verdict=verdict)))
    assert (headline.tone, headline.sentence) == (tone, "because.")


def test_sampled_figures_carry_their_interval_and_counted_ones_none(files: Files, document_of: Read) -> None:
    by_label = {tile.label: tile for tile in document_of(files.comparison).headlines[0].tiles}
    assert by_label["Size"].interval == ""
    assert " to " in by_label["Throughput"].interval
    assert " to " in by_label["Accuracy"].interval


def test_a_figure_of_an_invalid_scenario_is_no_tile() -> None:
    whole = sample_comparison()
    spoiled = replace(whole.runs["open"], invalid=["255 of 263 requests/s were sent"])
    (headline,) = headlines(replace(whole, runs={**whole.runs, "open": spoiled}))
    assert "p99, open loop" not in [tile.label for tile in headline.tiles]
    assert "p90, one in flight" in [tile.label for tile in headline.tiles]


def test_a_load_test_gives_figures_for_every_variant_and_no_verdict(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test)
    assert [(line.candidate, line.outcome) for line in document.headlines] == [("int8", None), ("int8-dynamic", None)]
    assert tiles(document)["Throughput"] == "4.20\N{MULTIPLICATION SIGN}"
    assert "twinserve compare fp32 int8" in document.headlines[0].footnote


def generator_bound(record: Record, scenario: Scenario, figure: Figure) -> Record:
    """The same load test, that figure of int8 marked as the generator's."""
    run = record.runs[scenario]
    arm = run.arms["int8"]
    assert arm.generator is not None
    marked = replace(arm.generator, invalid={figure: ["the generator used 97% of its one core"]})
    spoiled = replace(run, arms={**run.arms, "int8": replace(arm, generator=marked)})
    changed = replace(record, runs={**record.runs, scenario: spoiled})
    return replace(changed, caveats=caveats_of(changed))


def test_a_figure_that_the_generator_decided_is_no_tile() -> None:
    headline = headlines(generator_bound(sample_load_test(), "offline", "throughput"))[0]
    labels = [tile.label for tile in headline.tiles]
    assert "Throughput" not in labels
    assert "p50, one in flight" in labels


def test_accuracy_of_different_images_is_not_compared(files: Files, document_of: Read) -> None:
    dynamic = document_of(files.killed).headlines[1]
    assert dynamic.candidate == "int8-dynamic"
    assert "Accuracy" not in [tile.label for tile in dynamic.tiles]


def standard(**int8: object) -> Record:
    """Accuracy, single stream and offline; ``int8`` changes the candidate's figures everywhere."""
    given = {"p50_us": 400, "p99_us": 1000, "images_per_second": 4200.0, "correct": 985, **int8}
    arms = {"fp32": make_arm(p50_us=800, p99_us=1500), "int8": make_arm(**given)}  # type: ignore[arg-type]
    names: tuple[Scenario, ...] = ("accuracy", "single-stream", "offline")
    return make_record({name: Run(name, arms, images_per_request=64) for name in names})


def sentence(record: Record) -> str:
    return headlines(record)[0].sentence


def test_the_sentence_tells_size_speed_throughput_accuracy_and_the_images() -> None:
    assert sentence(standard()) == (
        "int8 is 4.00 times smaller than fp32 (1,000 vs 4,000 KB), "
        "answers 2.00 times as fast at p50 (0.40 vs 0.80 ms) and "
        "1.50 times as fast at p99 (1.00 vs 1.50 ms), "
        "reaches 4.20 times the throughput in batches (4,200 vs 1,000 images/s), "
        "and is 0.50 percentage points less accurate (98.50% vs 99.00%); "
        "on 1,000 images of toy (the full test set; a test)."
    )


def test_a_figure_that_is_not_valid_is_absent_from_the_sentence() -> None:
    spoiled = sentence(standard(invalid={"latency": ["late"], "throughput": ["busy"]}))
    assert "has no valid speed figure (see the caveats)" in spoiled
    assert "0.40" not in spoiled


def test_a_percentile_that_was_withheld_is_no_ratio() -> None:
    assert "p99" not in sentence(standard(p99_us=None))
    assert "as fast at p50" in sentence(standard(p99_us=None))


def test_a_slower_larger_more_accurate_candidate_is_told_as_such() -> None:
    slower = sentence(standard(p50_us=1600, correct=995))
    assert "0.50 times as fast at p50" in slower
    assert "0.50 percentage points more accurate" in slower


def test_equal_accuracy_is_called_exactly_equal() -> None:
    assert "exactly as accurate (99.00% vs 99.00%)" in sentence(standard(correct=990))


def test_accuracy_on_a_part_of_the_images_is_not_compared() -> None:
    assert "has no accuracy figure (not every image was answered)" in sentence(standard(coverage=0.5))


def test_a_subset_is_named_as_one_in_the_sentence() -> None:
    assert "NOT the full test set" in sentence(make_record(dataset=Dataset("toy", "a test", 1000, full=False)))


def test_an_incomplete_record_begins_with_that_word() -> None:
    assert sentence(make_record(complete=False)).startswith("INCOMPLETE: ")


def test_the_baseline_is_the_variant_that_is_not_quantised() -> None:
    record = make_record()
    turned = replace(record, model=replace(record.model, variants=dict(reversed(record.model.variants.items()))))
    assert (record.baseline, turned.baseline) == ("fp32", "fp32")
    assert sentence(turned).startswith("int8 is ")


def test_one_variant_alone_is_compared_with_nothing() -> None:
    record = make_record()
    alone = replace(record.model, variants={"fp32": record.model.variants["fp32"]})
    assert headlines(replace(record, model=alone)) == []
