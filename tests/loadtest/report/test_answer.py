"""The answer on top: a verdict with its gates, or a sentence that claims no more than a load test can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.findings import VerdictOutcome
from twinserve_loadtest.record.load_results import Results
from twinserve_loadtest.report.answer import headline_of_comparison, headline_of_load_test
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
    verdict = replace(whole.verdict, outcome=outcome, summary=f"{outcome}: because.")
    headline = headline_of_comparison(replace(whole, verdict=verdict))
    assert (headline.tone, headline.sentence) == (tone, "because.")


def test_sampled_figures_carry_their_interval_and_counted_ones_none(files: Files, document_of: Read) -> None:
    by_label = {tile.label: tile for tile in document_of(files.comparison).headlines[0].tiles}
    assert by_label["Size"].interval == ""
    assert " to " in by_label["Throughput"].interval
    assert " to " in by_label["Accuracy"].interval


def test_a_figure_of_an_invalid_scenario_is_no_tile() -> None:
    whole = sample_comparison()
    server = replace(whole.scenarios["server"], invalid=["255 of 263 requests/s were sent"])
    headline = headline_of_comparison(replace(whole, scenarios={**whole.scenarios, "server": server}))
    assert "p99, open loop" not in [tile.label for tile in headline.tiles]
    assert "p90, one in flight" in [tile.label for tile in headline.tiles]


def test_a_load_test_gives_figures_for_every_variant_and_no_verdict(files: Files, document_of: Read) -> None:
    document = document_of(files.load_test)
    assert [(line.candidate, line.outcome) for line in document.headlines] == [("int8", None), ("int8-dynamic", None)]
    assert tiles(document)["Throughput"] == "4.20\N{MULTIPLICATION SIGN}"
    assert "twinserve compare fp32 int8" in document.headlines[0].footnote


def generator_bound(results: Results, scenario: str, figure: str) -> Results:
    """The same load test, that figure of int8 marked as the generator's."""
    scenarios = []
    for run in results.scenarios:
        if run.name == scenario:
            result = run.variants["int8"]
            marked = replace(result.generator, invalid={figure: ["the generator used 97% of its one core"]})
            scenarios.append(replace(run, variants={**run.variants, "int8": replace(result, generator=marked)}))
        else:
            scenarios.append(run)
    return replace(results, scenarios=scenarios)


def test_a_figure_that_the_generator_decided_is_no_tile() -> None:
    labels = [
        tile.label
        for tile in headline_of_load_test(
            generator_bound(sample_load_test(), "offline", "throughput"), "fp32", "int8"
        ).tiles
    ]
    assert "Throughput" not in labels
    assert "p50, one in flight" in labels


def test_accuracy_of_different_images_is_not_compared(files: Files, document_of: Read) -> None:
    dynamic = document_of(files.killed).headlines[1]
    assert dynamic.candidate == "int8-dynamic"
    assert "Accuracy" not in [tile.label for tile in dynamic.tiles]
