"""One question put to every arm of a measurement, and what each of them answered.

An *arm* is a variant in a run. Times are seconds, latencies microseconds (``_us``), sizes bytes, shares 0..1. What
could not be measured is ``None``, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from twinserve_loadtest.record.blocks import Block
from twinserve_loadtest.record.spread import ServerShare
from twinserve_loadtest.record.terms import TITLES, Claim, Figure, Scenario, Section
from twinserve_loadtest.record.wire import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval at ``confidence`` (0.95: in 95 of 100 experiments it holds the truth)."""

    estimate: float
    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Remark:
    """A caveat, or a part that is missing: a stable ``code``, a sentence, and the report's section it belongs to."""

    code: str
    text: str
    section: Section = ""


@dataclass(frozen=True, slots=True)
class BandPoint:
    """One point of a latency CDF: the latency at ``quantile`` (0..1) and its 95 % bootstrap band."""

    quantile: float
    value_us: float
    low_us: float
    high_us: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Client-side latency of answered requests; in the open loop from the *intended* send."""

    #: 1 µs to 1 h to three significant figures; in the file HdrHistogram V2, zlib, base64.
    histogram: Histogram
    count: int
    #: "p50", "p90", "p95", "p99", "p99.9"; None below the least number of samples that carries it.
    percentiles_us: dict[str, float | None]
    mean_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    #: The distribution with its band, where blocks were interleaved.
    band: list[BandPoint] = field(default_factory=list)

    def at(self, percentile: str) -> float | None:
        """Microseconds at ``percentile`` ("p99"); None: too few samples."""
        return self.percentiles_us.get(percentile)


@dataclass(frozen=True, slots=True)
class Stages:
    """Mean seconds of a request by stage: the server's five, ``gateway`` (what the server spent outside them) and
    ``client`` (what it did not see: SDK, wire)."""

    seconds: dict[str, float]
    total_seconds: float
    requests: int

    def share(self, stage: str) -> float:
        """The part of the whole request spent in ``stage``, 0..1."""
        return self.seconds[stage] / self.total_seconds if self.total_seconds > 0 else 0.0

    @classmethod
    def of_sums(cls, sums: Mapping[str, float], requests: int) -> Stages | None:
        """From seconds summed over ``requests``: the five stages, ``server_total`` and ``client_total``.

        Returns:
            None when there is no request.
        """
        if requests == 0:
            return None
        total, server = sums["client_total"], sums.get("server_total", 0.0)
        named = {stage: sums.get(stage, 0.0) for stage in SERVER_STAGES}
        named["gateway"] = max(server - sum(named.values()), 0.0)
        named["client"] = max(total - server, 0.0)
        return cls({stage: seconds / requests for stage, seconds in named.items()}, total / requests, requests)


SERVER_STAGES = ("queue", "transfer", "preprocess", "inference", "postprocess")


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers held against the true labels."""

    correct: int
    #: Images behind ``correct``: those answered; in a comparison those that both arms answered.
    images: int
    #: Distinct test images answered / images of the test set.
    coverage: float
    #: ``correct / images`` with Wilson's interval.
    share: Interval
    #: Row: true class, column: answered class; empty: there are too many classes, see ``confused``.
    confusion: list[list[int]]
    #: The whole test set only: base64 of little-endian uint16, one an image in its order, 65535: not answered.
    predictions: str = ""
    #: Of many classes, the wrong answers: true class, answered class, images; the most frequent first.
    confused: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Quality:
    """Answers of a model without classes compared with their targets: the mean loss, 0 being best."""

    #: As the manifest names it: "mse", "cosine", "module:function".
    metric: str
    #: Items behind the loss: those answered; in a comparison those that both arms answered.
    items: int
    #: Distinct items answered / items of the test set.
    coverage: float
    #: Its mean over the items, with Student's interval.
    loss: Interval
    #: The variant whose answers are the targets; empty: those that the test set expects.
    against: str = ""


@dataclass(frozen=True, slots=True)
class Generator:
    """What the load generator knows of itself: whether it, not the server, set a figure."""

    #: CPU seconds of the generator / elapsed; 1.0 is one whole core.
    cpu_share: float
    #: Busy share of all cores of the generator's machine.
    machine_cpu_share: float
    #: Open loop: actual - intended send. Else: how late a 10 ms timer of the generator fired.
    lateness_p50_us: float | None
    lateness_p99_us: float | None
    #: Open loop: arrivals of the schedule that were never sent.
    dropped: int
    #: Open loop: arrivals per second of the schedule; None elsewhere.
    offered_rate: float | None
    #: Figure -> why it must not be used. Empty: both stand.
    invalid: dict[Figure, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant in one run."""

    #: Sent, failed ones included.
    requests: int
    failed: int
    #: Images answered.
    images: int
    #: First send to last answer, summed over the blocks.
    seconds: float
    images_per_second: float
    latency: Latency
    #: Failed requests by gRPC status, where it was recorded.
    failures: dict[str, int] = field(default_factory=dict)
    mean_batch_size: float | None = None
    #: Images in the forward pass that answered a request -> requests.
    batch_sizes: dict[int, int] = field(default_factory=dict)
    #: Of the variant's model processes. Without a comparison, warm-ups count on both sides.
    cpu_seconds_per_1000_images: float | None = None
    #: Of the gateways.
    gateway_cpu_seconds_per_1000_images: float | None = None
    #: Of the whole machine while this variant had work: generator and gateways are in it. None: not known.
    joules_per_1000_images: float | None = None
    stages: Stages | None = None
    answers: Answers | None = None
    #: Instead of ``answers``, of a model without classes.
    quality: Quality | None = None
    generator: Generator | None = None
    #: Blocks merged into these figures.
    blocks: int = 1
    #: Sent before the clock started and in no other figure; the server's own counts hold them.
    warm_up_requests: int = 0
    #: By the address of the server; empty in files of before there could be several.
    servers: dict[str, ServerShare] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effect:
    """One figure of both arms and their ratio.

    A *speed-up* is oriented so that above 1 the candidate is better, for latency as for throughput; a *ratio* of cost
    is candidate / baseline: below 1 is better. ``claim`` says whether it differs from 1, corrected for the number of
    effects and beyond the noise floor; ``none`` is *not enough evidence of a difference*, never a proof of equality.
    """

    #: A :data:`Scenario`, "slo" for the rate within the objective, "" for a cost.
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
class Look:
    """One interim analysis: how much of the error was spent, and how wide the intervals were."""

    pairs: int
    #: Share of the planned experiment, 0..1.
    fraction: float
    #: Two-sided error spent up to and including this look.
    alpha_spent: float
    #: Confidence of the intervals at this look, so that all looks together keep 95 %.
    confidence: float
    #: Widest relative half-width of the steering effects: 0.05 means +/- 5 %.
    half_width: float


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario: the load, every arm under it, and in a comparison what follows for the pair."""

    scenario: Scenario
    arms: dict[str, Arm]
    images_per_request: int = 1
    #: Requests a second of the open loop.
    offered_rate: float | None = None
    #: Requests in flight of the closed loop.
    users: int | None = None
    #: What else it takes to repeat the load: seconds, seed, warm_up, timeout.
    parameters: dict[str, float | int | str] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    #: The same effects between the baseline and itself.
    control: list[Effect] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    pairs: int = 0
    #: Why measuring ended: "precise", "time" or "interrupted"; empty: a load test, which does not stop early.
    stopped: str = ""
    #: Why none of the figures may be used; empty: see each arm's generator.
    invalid: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """ "Open loop"."""
        return TITLES[self.scenario]

    def problems(self, figure: Figure) -> list[str]:
        """Why ``figure`` of this run, or of some arms, must not be used."""
        return self.invalid + [f"{name}: {why}" for name in self.arms for why in self._own(name, figure)]

    def is_valid(self, arm: str, figure: Figure) -> bool:
        """Whether ``figure`` of ``arm`` is the server's."""
        return not self.invalid and not self._own(arm, figure)

    def _own(self, arm: str, figure: Figure) -> list[str]:
        generator = self.arms[arm].generator
        return generator.invalid.get(figure, []) if generator is not None else []


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One arm at one offered rate, open loop."""

    arm: str
    offered_rate: float
    achieved_rate: float
    percentiles_us: dict[str, float | None]
    error_share: float
    sustained: bool
    #: Why it is not sustained, or not known to be.
    reason: str = ""
    #: The generator, not the server, was the limit: the point says nothing about the server.
    generator_bound: bool = False


@dataclass(frozen=True, slots=True)
class RateSearch:
    """The highest rate that each variant sustains within the objective."""

    percentile: str
    limit_ms: float
    max_error_share: float
    sustained: dict[str, float | None]
    points: list[RatePoint]
    #: In a comparison.
    effect: Effect | None = None
