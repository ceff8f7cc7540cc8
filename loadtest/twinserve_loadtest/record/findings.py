"""The parts of a comparison: blocks, effects, accuracy, resources, gates and the verdict.

The *baseline* is variant A (usually FP32), the *candidate* variant B (its quantised twin). A *speed-up* is
oriented so that above 1 the candidate is better, for latency (baseline / candidate) as for throughput
(candidate / baseline); a *ratio* of cost (memory, CPU, size) is candidate / baseline: below 1 is better.

Latencies are microseconds (``_us``), durations seconds, sizes bytes. What could not be measured is ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Claim = Literal["better", "worse", "none", "unknown"]
GateOutcome = Literal["pass", "fail", "undecided"]
VerdictOutcome = Literal["SHIP", "DO NOT SHIP", "NOT ENOUGH EVIDENCE"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval at ``confidence`` (0.95: in 95 of 100 experiments it holds the truth)."""

    estimate: float
    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Effect:
    """One figure of both arms and their ratio. ``claim`` says whether the ratio differs from 1, corrected
    for the number of effects and beyond the noise floor: it may be ``none`` although the interval excludes 1.
    ``none`` is *not enough evidence of a difference*, never a proof that the arms are equal."""

    scenario: str
    metric: str
    kind: Literal["speedup", "ratio"]
    unit: str
    baseline: float | None
    candidate: float | None
    interval: Interval | None
    claim: Claim
    pairs: int
    #: The largest factor (>= 1) that the A/A control left possible between equal arms.
    noise_floor: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: a short run of one arm. Blocks of the same ``pair`` sent the same images in the same order."""

    scenario: str
    phase: Literal["control", "main"]
    arm: str
    #: "baseline" or "candidate"; in the control both roles are the same arm.
    role: Literal["baseline", "candidate"]
    pair: int
    #: Seconds from the start of the experiment.
    started_s: float
    seconds: float
    requests: int
    images: int
    errors: int
    #: Latencies in microseconds, HdrHistogram V2, compressed, base64.
    histogram: str
    cpu_seconds: float | None = None
    mean_batch_size: float | None = None
    offered_rate: float | None = None
    #: Latest start of a request after its intended time (99th percentile), microseconds.
    lateness_p99_us: float | None = None
    generator_cpu_share: float | None = None
    steal_share: float | None = None
    #: Why the block is left out of the figures; empty: it counts.
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class BandPoint:
    """One point of a latency CDF: the latency at ``quantile`` (0..1) and its 95 % bootstrap band."""

    quantile: float
    value_us: float
    low_us: float
    high_us: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm in one scenario, all its valid blocks merged."""

    requests: int
    images: int
    errors: int
    seconds: float
    histogram: str
    #: "p50", "p90", "p95", "p99", "p99.9"; None below the least sample count of that percentile.
    percentiles_us: dict[str, float | None]
    cdf: list[BandPoint]
    images_per_second: float
    cpu_seconds_per_1000_images: float | None = None
    mean_batch_size: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One interim analysis: how much of the error was spent, and how wide the intervals were."""

    pairs: int
    #: Share of the planned experiment, 0..1.
    fraction: float
    #: Two-sided error spent up to and including this look.
    alpha_spent: float
    #: Confidence of the intervals at this look, so that all looks together keep 95 %.
    confidence: float
    #: Widest relative half-width of the scenario's steering effects: 0.05 means +/- 5 %.
    half_width: float


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """single_stream, server (open loop at an equal offered rate) or offline."""

    name: str
    description: str
    arms: dict[str, ArmResult]
    effects: list[Effect]
    #: The same effects between the baseline and itself.
    control: list[Effect]
    looks: list[Look]
    blocks: list[Block]
    pairs: int
    offered_rate: float | None
    images_per_request: int
    #: Why measuring ended: "precise", "decided", "time" or "interrupted".
    stopped: str
    #: Why the figures of this scenario must not be used; empty: they may.
    invalid: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One test image on which the variants part."""

    index: int
    label: int
    baseline_class: int
    candidate_class: int
    baseline_probabilities: list[float]
    candidate_probabilities: list[float]
    #: The image as sent: UINT8, row-major, base64 (see ``AccuracyResult.item_shape``).
    pixels: str = ""


@dataclass(frozen=True, slots=True)
class AccuracyResult:
    """Every test image once through the served path of each arm, paired by image."""

    images: int
    class_names: list[str]
    item_shape: list[int]
    #: Compact: base64 of little-endian uint16, one an image, in test-set order (:func:`decode_classes`).
    labels: str
    predictions: dict[str, str]
    #: Share of right answers with Wilson's interval.
    accuracy: dict[str, Interval]
    both_correct: int
    only_baseline_correct: int
    only_candidate_correct: int
    both_wrong: int
    #: Candidate's minus baseline's share of right answers, with Tango's score interval.
    difference: Interval
    mcnemar_p: float
    #: The loss that is tolerated (0.005: half a percentage point) and the one-sided test against it.
    margin: float
    non_inferiority_p: float
    non_inferior: bool
    #: confusion[arm][true class][answered class], images.
    confusion: dict[str, list[list[int]]]
    disagreement_count: int
    #: At most the first few; ``disagreement_count`` tells how many there are.
    disagreements: list[Disagreement]
    #: Wall time for the test set through the served path, seconds.
    test_set_seconds: dict[str, float]
    #: Images that an arm left without an answer; they are in no figure above.
    unanswered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one variant costs. ``added_bytes`` is what the model adds to a process without one, cumulative."""

    artefact_bytes: int
    parameter_bytes: int | None = None
    process_pss_bytes: int | None = None
    added_bytes: dict[str, int] = field(default_factory=dict)
    #: By scenario.
    cpu_seconds_per_1000_images: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageSplit:
    """Mean seconds of a single request by stage; ``client`` is what the server did not see (wire, SDK)."""

    scenario: str
    seconds: dict[str, float]
    total_seconds: float
    requests: int

    def share(self, stage: str) -> float:
        """The part of the whole request spent in ``stage``, 0..1."""
        return self.seconds[stage] / self.total_seconds if self.total_seconds > 0 else 0.0


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
    text: str


@dataclass(frozen=True, slots=True)
class CrossoverCell:
    """One cell of the map that shows where the candidate stops paying."""

    batch_size: int
    threads: int
    #: Requests a second; None: offline (as fast as it goes).
    offered_rate: float | None
    #: "throughput" or "p50".
    metric: str
    baseline: float | None
    candidate: float | None
    speedup: Interval | None
    pairs: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One arm at one offered rate, open loop."""

    arm: str
    offered_rate: float
    achieved_rate: float
    percentiles_us: dict[str, float | None]
    error_share: float
    sustained: bool
    #: Why the point says nothing about the server; empty: it does.
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class SloResult:
    """The highest rate that each variant sustains within the objective."""

    percentile: str
    limit_ms: float
    max_error_share: float
    sustained_rate: dict[str, float | None]
    effect: Effect | None
    points: list[RatePoint]
    #: True: the generator gave up before the server; the rates are lower bounds.
    generator_bound: bool = False


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
    """The answer, valid on the instruction set of the stamp alone."""

    outcome: VerdictOutcome
    summary: str
    reasons: list[str]
    gates: list[GateResult]
    isa: str
    decision_grade: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """A caveat, or a part that is missing: a stable ``code`` and a sentence for a reader."""

    code: str
    text: str
