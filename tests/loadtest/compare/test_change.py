"""What changed since an earlier comparison: quotients with intervals, and what else differs between the two."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from loadtest.report.sample_comparison import sample_comparison
from twinserve_loadtest.compare.change import NotComparableError, change_since, check_comparable
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.run import Interval
from twinserve_loadtest.report.summary import changes_in_words, summary


def moved(record: Record, factor: float, scenario: str = "offline") -> Record:
    """``record`` with the ratios of one scenario ``factor`` times as large."""
    run = record.runs[scenario]  # type: ignore[index]
    effects = []
    for effect in run.effects:
        found = effect.interval
        assert found is not None
        scaled = Interval(found.estimate * factor, found.low * factor, found.high * factor, found.confidence)
        effects.append(replace(effect, interval=scaled))
    return replace(record, runs={**record.runs, scenario: replace(run, effects=effects)})  # type: ignore[dict-item]


@pytest.mark.parametrize(("factor", "direction"), [(1.0, "none"), (1.02, "none"), (1.4, "better"), (0.6, "worse")])
def test_a_change_is_claimed_when_its_interval_and_the_noise_allow(factor: float, direction: str) -> None:
    earlier = sample_comparison()
    change = change_since(earlier, moved(earlier, factor))
    throughput = next(effect for effect in change.effects if effect.metric == "throughput")
    assert throughput.quotient.estimate == pytest.approx(factor)
    assert throughput.direction == direction
    assert {effect.direction for effect in change.effects if effect.scenario != "offline"} == {"none"}


def test_the_quotient_is_less_certain_than_either_ratio() -> None:
    record = sample_comparison()
    for effect in change_since(record, record).effects:
        width = math.log(effect.quotient.high / effect.quotient.low)
        assert width == pytest.approx(math.sqrt(2) * math.log(effect.now.high / effect.now.low), rel=0.05)


def test_another_machine_and_other_artefacts_are_named() -> None:
    earlier = sample_comparison()
    stamp = replace(earlier.stamp, isa="aarch64+asimd", artefacts={**earlier.stamp.artefacts, "int8": "f" * 64})
    change = change_since(earlier, replace(earlier, stamp=stamp))
    told = "\n".join(change.stamp)
    assert f"instruction set: {earlier.stamp.isa} then, aarch64+asimd now" in told
    assert "artefact int8" in told
    assert any("aarch64+asimd" in line for line in changes_in_words(change))
    assert "differ in more than time" in summary(earlier, change)
    assert change_since(earlier, earlier).stamp == []


def test_a_verdict_and_gates_that_turned_are_told() -> None:
    earlier = sample_comparison()
    assert earlier.comparison is not None
    verdict = earlier.comparison.verdict
    gates = [replace(verdict.gates[0], outcome="fail"), *verdict.gates[1:]]
    worse = replace(earlier.comparison, verdict=replace(verdict, outcome="DO NOT SHIP", gates=gates))
    change = change_since(earlier, replace(earlier, comparison=worse))
    assert change.gates == {"max_accuracy_loss": ("pass", "fail")}
    words = "\n".join(changes_in_words(change))
    assert "SHIP then, DO NOT SHIP now" in words
    assert "Gate max_accuracy_loss: pass then, fail now" in words


def test_what_cannot_be_held_against_it_is_refused() -> None:
    record = sample_comparison()
    with pytest.raises(NotComparableError, match="compares fp32 with int8, not fp32 with int4"):
        check_comparable(record, "fp32", "int4", "old.json")
    with pytest.raises(NotComparableError, match="is a load test"):
        check_comparable(replace(record, comparison=None), "fp32", "int8", "old.json")


def test_the_summary_is_a_page_of_tables() -> None:
    record = sample_comparison()
    text = summary(record)
    assert text.startswith("## SHIP: int8 instead of fp32\n")
    assert "| min_speedup.throughput | >= 1.2 x | 4.2 x (4.1 to 4.3) | passed |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    assert record.stamp.isa in text
