"""Gate by gate: pass, fail, open; and how much more evidence would decide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from twinserve_loadtest.compare.accuracy import TestImages, compare_accuracy
from twinserve_loadtest.compare.exit_codes import EXIT_CODES
from twinserve_loadtest.compare.gates import parse_gates
from twinserve_loadtest.compare.verdict import Evidence, judge
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.comparison import PairedAccuracy, Verdict
from twinserve_loadtest.record.percentiles import histogram_of
from twinserve_loadtest.record.run import Effect, Interval


def speedup(
    low: float, high: float, *, floor: float | None = 1.0, metric: str = "p99", scenario: str = "open"
) -> Effect:
    middle = (low * high) ** 0.5
    return Effect("open", "p99", "speedup", "us", 1.0, 1.0, Interval(middle, low, high), "none", 40, floor)


def size(ratio: float) -> Effect:
    return Effect("", "artefact_bytes", "ratio", "bytes", 1.0, ratio, Interval(ratio, ratio, ratio, 1.0), "better", 0)


def accuracy(lost: int, won: int, images: int = 10_000, margin: float = 0.005) -> PairedAccuracy:
    """Answers of two arms of which the candidate loses and wins so many images."""
    labels = np.zeros(images, np.int64)
    first, second = labels.copy(), labels.copy()
    first[:won], second[won : won + lost] = 1, 1
    test = TestImages(np.zeros((images, 2, 2), np.uint8), labels, ("zero", "one"))
    plan = BlockPlan("accuracy", "offline", "accuracy", "baseline", -1, 0, 1, images, None, 1)
    blocks = [
        Block("fp32", plan, 1.0, 1, images, 0, histogram_of(np.ones(1)), predictions=answers.astype(np.uint16))
        for answers in (first, second)
    ]
    found = compare_accuracy(test, ("fp32", blocks[0]), ("int8", blocks[1]), margin)
    assert found is not None
    return found


def verdict(
    gates: Mapping[str, object],
    *effects: Effect,
    right: PairedAccuracy | None = None,
    errors: tuple[int, int] = (0, 10_000),
    spread: float = 0.02,
    invalid: dict[str, str] | None = None,
) -> Verdict:
    evidence = Evidence(
        effects=effects,
        accuracy=right,
        candidate_errors=errors,
        errors={(effect.scenario, effect.metric): (spread, 20, 0.95) for effect in effects},
        invalid=invalid or {},
    )
    return judge(parse_gates(gates, "test"), evidence, candidate="int8", isa="x86_64+avx2", decision_grade=True)


P99 = {"min_speedup": {"p99": 1.2}}


@pytest.mark.parametrize(
    ("low", "high", "outcome", "code"),
    [
        (1.25, 1.40, "SHIP", 0),
        (1.05, 1.15, "DO NOT SHIP", 1),
        (1.15, 1.30, "NOT ENOUGH EVIDENCE", 2),
    ],
)
def test_the_whole_interval_must_lie_on_one_side(low: float, high: float, outcome: str, code: int) -> None:
    found = verdict(P99, speedup(low, high))
    assert found.outcome == outcome
    assert EXIT_CODES[found.outcome] == code


def test_inside_the_noise_floor_nothing_is_decided() -> None:
    found = verdict(P99, speedup(1.22, 1.28, floor=1.10))
    assert found.outcome == "NOT ENOUGH EVIDENCE"
    assert "noise floor" in found.gates[0].reason
    assert verdict(P99, speedup(1.22, 1.28, floor=1.02)).outcome == "SHIP"


def test_an_open_gate_says_how_many_more_pairs_would_decide() -> None:
    near, far = verdict(P99, speedup(1.17, 1.25)), verdict(P99, speedup(1.15, 1.30))
    more_near, more_far = near.gates[0].more_samples, far.gates[0].more_samples
    assert more_near is not None
    assert more_far is not None
    assert more_near > more_far > 0
    assert near.gates[0].more_samples_unit == "pairs"
    assert f"{more_near:,} more pairs" in near.gates[0].reason


def test_on_the_limit_no_number_is_promised() -> None:
    found = verdict(P99, speedup(1.2 / 1.1, 1.2 * 1.1))
    assert found.gates[0].more_samples is None
    assert "on the limit" in found.gates[0].reason


def test_one_failure_outweighs_passes_and_open_gates() -> None:
    gates = {"max_size_ratio": 0.5, "min_speedup": {"p99": 1.2}}
    assert verdict(gates, speedup(1.1, 1.3), size(0.9)).outcome == "DO NOT SHIP"
    assert verdict(gates, speedup(1.3, 1.4), size(0.25)).outcome == "SHIP"


@pytest.mark.parametrize(("ratio", "outcome"), [(0.5, "pass"), (0.25, "pass"), (0.51, "fail")])
def test_a_size_is_counted_not_estimated(ratio: float, outcome: str) -> None:
    assert verdict({"max_size_ratio": 0.5}, size(ratio)).gates[0].outcome == outcome


@pytest.mark.parametrize(
    ("lost", "won", "outcome"), [(10, 12, "SHIP"), (150, 20, "DO NOT SHIP"), (50, 12, "NOT ENOUGH EVIDENCE")]
)
def test_accuracy_is_held_against_the_margin(lost: int, won: int, outcome: str) -> None:
    found = verdict({"max_accuracy_loss": "0.5pp"}, right=accuracy(lost, won))
    assert found.outcome == outcome
    if outcome == "NOT ENOUGH EVIDENCE":
        assert (found.gates[0].more_samples_unit, (found.gates[0].more_samples or 0) > 0) == ("images", True)


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [((0, 10_000), "pass"), ((50, 10_000), "fail"), ((0, 1000), "undecided"), ((8, 10_000), "undecided")],
)
def test_errors_are_held_against_their_share(errors: tuple[int, int], outcome: str) -> None:
    gate = verdict({"max_error_share": "0.1%"}, errors=errors).gates[0]
    assert gate.outcome == outcome


def test_so_many_requests_without_a_failure_as_planned_do_pass() -> None:
    gate = verdict({"max_error_share": "0.1%"}, errors=(0, 1000)).gates[0]
    assert gate.more_samples is not None
    sent = 1000 + gate.more_samples
    assert verdict({"max_error_share": "0.1%"}, errors=(0, sent)).gates[0].outcome == "pass"


def test_what_was_not_measured_is_not_enough_evidence() -> None:
    found = verdict({"max_accuracy_loss": "0.5pp", "max_memory_ratio": 0.5, "min_speedup": {"p99": 1.2}})
    assert found.outcome == "NOT ENOUGH EVIDENCE"
    assert all("not measured" in gate.reason for gate in found.gates)


def test_a_figure_that_the_generator_set_may_pass_but_never_fail() -> None:
    bound = {"open": "the generator used 95 % of its core"}
    assert verdict(P99, speedup(1.3, 1.4), invalid=bound).outcome == "SHIP"
    assert verdict(P99, speedup(1.0, 1.1), invalid=bound).outcome == "NOT ENOUGH EVIDENCE"
    no_slower = {"min_speedup": {"p99": 0.95}}
    assert verdict(no_slower, speedup(0.99, 1.01), invalid=bound).outcome == "NOT ENOUGH EVIDENCE"


def test_the_verdict_names_its_instruction_set_and_its_open_gates() -> None:
    found = verdict(P99, speedup(1.1, 1.3))
    assert found.isa == "x86_64+avx2"
    assert found.summary == "NOT ENOUGH EVIDENCE: int8 passes 0 of 1 gates, 1 undecided."
    assert found.reasons == [found.gates[0].reason]


def test_a_quick_run_says_so() -> None:
    evidence = Evidence([speedup(1.3, 1.4)], None, (0, 1))
    found = judge(parse_gates(P99, "test"), evidence, candidate="int8", isa="arm", decision_grade=False)
    assert found.outcome == "SHIP"
    assert not found.decision_grade
    assert "Not decision-grade" in found.summary
