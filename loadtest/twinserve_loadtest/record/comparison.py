"""The part of a record specific to comparisons: the paired accuracy test, costs, bounds, gates and the verdict.

The *baseline* is variant A (usually FP32), the *candidate* variant B (its quantised twin).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from twinserve_loadtest.record.run import Effect, Interval

GateOutcome = Literal["pass", "fail", "undecided"]
VerdictOutcome = Literal["SHIP", "DO NOT SHIP", "NOT ENOUGH EVIDENCE"]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One test image that the variants answer differently."""

    index: int
    label: int
    baseline_class: int
    candidate_class: int
    baseline_probabilities: list[float]
    candidate_probabilities: list[float]
    #: The image as sent: UINT8, row-major, base64, of the model's item shape.
    pixels: str = ""


@dataclass(frozen=True, slots=True)
class PairedAccuracy:
    """Every test image once through the served path of both arms, paired by image."""

    #: Answered by both.
    images: int
    #: True classes: base64 of little-endian uint16, one an image in test-set order.
    labels: str
    both_correct: int
    only_baseline_correct: int
    only_candidate_correct: int
    both_wrong: int
    #: Candidate's minus baseline's share of right answers, with Tango's score interval.
    difference: Interval
    mcnemar_p: float
    #: The acceptable loss (0.005: half a percentage point) and the one-sided test against it.
    margin: float
    non_inferiority_p: float
    non_inferior: bool
    disagreement_count: int
    #: The first few of them.
    disagreements: list[Disagreement]
    #: Images that an arm left unanswered; no figure above includes them.
    unanswered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QualityItem:
    """One item of the test set, and the loss of each arm's answer to it."""

    index: int
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True)
class PairedQuality:
    """Of a model without classes: every item once through the served path of both arms, paired by item."""

    metric: str
    #: The variant whose answers are the targets; empty: those that the test set expects.
    against: str
    #: Answered by both.
    items: int
    #: Mean losses, 0 being best, with Student's intervals.
    baseline: Interval
    candidate: Interval
    #: Candidate's minus baseline's.
    difference: Interval
    #: How much greater the candidate's may be, and the reason; empty words: as requested.
    margin: float
    margin_words: str
    #: Those whose losses differ most.
    worst: list[QualityItem]
    #: Items that an arm left unanswered; no figure above includes them.
    unanswered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AmdahlBound:
    """How much the whole request can gain when only ``stage`` gets faster."""

    scenario: str
    stage: str
    share: float
    #: 1 / (1 - share): the gain if the stage took no time at all.
    bound: float
    #: How much faster the candidate's stage is.
    stage_speedup: float
    #: 1 / (1 - share + share / stage_speedup).
    predicted: float
    observed: float | None
    #: What follows for the candidate, in words.
    text: str
    #: What follows from the baseline alone.
    limit: str = ""


@dataclass(frozen=True, slots=True)
class CrossoverCell:
    """One cell of the map that shows where the candidate stops paying."""

    batch_size: int
    threads: int
    #: Requests per second; None: offline (as fast as possible).
    offered_rate: float | None
    #: "throughput" or "p50".
    metric: str
    baseline: float | None
    candidate: float | None
    speedup: Interval | None
    pairs: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: what was asked for, what was found, and how much more evidence would decide."""

    name: str
    limit: str
    observed: str
    outcome: GateOutcome
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    more_samples: int | None = None
    more_samples_unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, valid only on the instruction set of the stamp."""

    outcome: VerdictOutcome
    summary: str
    reasons: list[str]
    gates: list[GateResult]
    isa: str
    decision_grade: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms of a record compared with each other; the effects of each scenario are in its run."""

    baseline: str
    candidate: str
    verdict: Verdict
    accuracy: PairedAccuracy | None = None
    #: Instead of ``accuracy``, of a model without classes.
    quality: PairedQuality | None = None
    #: Memory and size.
    costs: list[Effect] = field(default_factory=list)
    amdahl: AmdahlBound | None = None
    crossover: list[CrossoverCell] = field(default_factory=list)
