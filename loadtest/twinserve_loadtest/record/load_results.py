"""The raw results of a load test: what ``twinserve loadtest`` writes and ``twinserve report`` reads.

Version 1 of the schema. All times are microseconds (``_us``) or seconds (``seconds``), all sizes
bytes, all shares 0..1. A figure that could not be had is ``None`` and never 0; what is missing is
said in ``missing``, what limits the use of a figure in ``caveats`` and ``generator``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SCHEMA_VERSION = 1
NOT_ANSWERED = 65535
"""Stands in ``Results.predictions`` for an image that the variant did not answer."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """The test set whose images were sent."""

    name: str
    source: str
    images: int
    full: bool
    """False: a subset; figures are not comparable with the full set's."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a variant weighs in memory, as the server measured it (bytes)."""

    added_by_stage: dict[str, float] = field(default_factory=dict)
    """PSS over the same process without a model, cumulative: load, first_inference, batch_limit."""
    resident_pss: float | None = None
    """PSS of the variant's model processes after the load test, summed over replicas."""
    resident_rss: float | None = None
    parameter_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One variant as the server describes it."""

    name: str
    sha256: str
    artefact_bytes: int
    max_batch_size: int
    weight: float
    """The router's share, 0..1."""
    memory: Memory | None = None
    """None: no metrics URL was given, or it did not answer."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """The variant's entry of the manifest: quantization, engine, offline accuracy, …"""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that was tested."""

    name: str
    version: str
    item_shape: list[int]
    labels: list[str]
    variants: dict[str, VariantInfo]
    manifest: dict[str, Any] = field(default_factory=dict)
    """The whole manifest as it lies beside the artefacts."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Client-side latency of successful requests; in the open loop from the *intended* send."""

    histogram: str
    """HdrHistogram V2, zlib, base64; microseconds, 1 µs to 1 h, 3 significant figures."""
    count: int
    mean_us: float | None
    min_us: int | None
    p50_us: int | None
    p90_us: int | None
    p95_us: int | None
    p99_us: int | None
    p999_us: int | None
    max_us: int | None
    withheld: dict[str, str] = field(default_factory=dict)
    """Why a percentile is None: too few samples (``{"p99": "needs 662 samples, 120 were taken"}``)."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Mean time of a request in each stage (µs), from the timing in each answer."""

    queue_us: float
    transfer_us: float
    preprocess_us: float
    inference_us: float
    postprocess_us: float
    server_total_us: float
    """From the decoded request to the encoded answer; what the five stages leave is the server's own."""
    client_total_us: float
    """Send to answer at the client; what ``server_total_us`` leaves is network, gRPC and the client."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Answers against the true labels."""

    correct: int
    total: int
    coverage: float
    """Distinct test images answered / images of the test set."""
    confusion: list[list[int]]
    """Row: true class, column: predicted class."""


@dataclass(frozen=True, slots=True)
class Generator:
    """What the load generator knows of itself: whether it, not the server, set a figure."""

    cpu_share: float
    """CPU seconds of the generator / elapsed; 1.0 is one whole core."""
    machine_cpu_share: float
    """Busy share of all cores of the generator's machine."""
    lateness_p50_us: int | None
    lateness_p99_us: int | None
    """Open loop: actual - intended send. Else: how late a 10 ms timer of the generator fired."""
    dropped: int
    """Open loop: arrivals of the schedule that were never sent."""
    offered_rate: float | None
    """Open loop: arrivals per second of the schedule; None elsewhere."""
    invalid: dict[str, list[str]] = field(default_factory=dict)
    """Figure ("latency", "throughput") → why it must not be used. Empty: both stand."""


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One scenario on one variant."""

    variant: str
    requests: int
    """Requests sent, failed ones included."""
    failures: dict[str, int]
    """Failed requests by gRPC status."""
    images: int
    """Images answered."""
    seconds: float
    """First send to last answer, summed over the blocks."""
    images_per_second: float
    requests_per_second: float
    latency: Latency
    stages: Stages | None
    """None: no request was answered."""
    accuracy: Accuracy | None
    batch_sizes: dict[int, int]
    """Images in the forward pass that answered a request → requests."""
    generator: Generator
    blocks: int = 1
    """Blocks that were merged into this figure."""
    warm_up_requests: int = 0
    """Sent before the clock started and in no other figure; the server's own counts hold them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rate of a step test."""

    variant: str
    rate: float
    achieved_rate: float
    requests: int
    failures: int
    p99_us: int | None
    sustained: bool
    reason: str
    """Why the rate is not sustained, or not known to be; empty when it is."""
    generator_bound: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question put to every variant under the same conditions."""

    name: Literal["accuracy", "single-stream", "closed", "open", "offline", "step", "mixed"]
    parameters: dict[str, float | int | str]
    """users, rate, batch, seconds, seed, p99_limit_us, …"""
    variants: dict[str, VariantResult]
    steps: list[Step] = field(default_factory=list)
    sustained_rate: dict[str, float | None] = field(default_factory=dict)
    """Step tests: the highest rate (requests/s) sustained, by variant."""


@dataclass(frozen=True, slots=True)
class Results:
    """One load test."""

    created: str
    """ISO 8601, UTC."""
    command: str
    """The exact command that repeats the test."""
    target: str
    dataset: DatasetInfo
    model: ModelInfo
    scenarios: list[Scenario]
    predictions: dict[str, str] = field(default_factory=dict)
    """Variant → base64 of little-endian uint16, one an image in the test set's order (accuracy scenario)."""
    complete: bool = True
    missing: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    stamp: dict[str, Any] = field(default_factory=dict)
    """Machine, versions, hashes; see ``twinserve_loadtest.record.stamp``."""
    schema_version: Literal[1] = 1

    def scenario(self, name: str) -> Scenario | None:
        """The scenario of that name, or None when it was not run."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)


def encode_predictions(predictions: npt.NDArray[np.uint16]) -> str:
    """One class an image (``NOT_ANSWERED`` where there is none) as text."""
    return base64.b64encode(predictions.astype("<u2").tobytes()).decode("ascii")


def decode_predictions(text: str) -> npt.NDArray[np.uint16]:
    """The reverse of :func:`encode_predictions`: uint16, one an image."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<u2").astype(np.uint16)
