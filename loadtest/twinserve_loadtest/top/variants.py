"""What `twinserve top` shows: the variants of each model side by side, from two readings of ``/metrics``."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twinserve_loadtest.target.metrics import MetricsPage, read_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The routes whose callers wait; a shadow's run has none.
ROUTES: Final = ("named", "split")


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics at one moment."""

    page: MetricsPage
    #: By ``time.monotonic()``.
    at: float


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """One variant; None is what nothing is known about. Times in seconds, sizes in bytes.

    Attributes:
        baseline: it is the one that is not quantised.
        rate: answered requests a second. failed: others.
        p50: of the request latency between the readings, as Prometheus' ``histogram_quantile`` has it. p99 likewise.
        batch: mean images of a forward pass.
        waiting: images in queues and model processes now.
        added: what the warm model adds to its process. pss: what its processes hold.
        cores: CPU seconds a second.
        accuracy: share of the labelled images it had right, since the server started. labels: how many those are.
        disagreement: share of its shadow runs' images with another class than the primary's, since the start.
        weight: the router's share.
    """

    name: str
    baseline: bool
    ready: bool
    rate: float
    failed: float
    p50: float | None
    p99: float | None
    batch: float | None
    waiting: float
    added: float | None
    pss: float | None
    artefact: float | None
    cores: float
    accuracy: float | None
    labels: float
    disagreement: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The variants of one model, the baseline first."""

    name: str
    version: str
    dataset: str
    variants: tuple[VariantFigures, ...]

    @property
    def baseline(self) -> VariantFigures | None:
        """The variant that the others are held against."""
        return next((variant for variant in self.variants if variant.baseline), None)


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One server.

    Attributes:
        seconds: between the readings.
        gateway_pss: bytes. gateway_cores: CPU seconds a second.
        restarts: processes that ended unplanned, since the server started.
    """

    seconds: float
    models: tuple[ModelFigures, ...]
    gateways: int
    gateway_pss: float
    gateway_cores: float
    restarts: float
    transport: str


def take(url: str) -> Reading:
    """Read the metrics once.

    Raises:
        MetricsError: they cannot be read.
    """
    return Reading(read_metrics(url), time.monotonic())


def figures(before: Reading, after: Reading) -> ServerFigures:
    """What went on between two readings, and how things are at the second."""
    page = after.page
    served: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for sample in page.samples:
        if sample.name == "twinserve_model_info":
            served.setdefault((sample.labels["model"], sample.labels["version"]), []).append(sample.labels)
    change = _Change(before, after)
    builds = [sample.labels for sample in page.samples if sample.name == "twinserve_build_info"]
    return ServerFigures(
        seconds=change.seconds,
        models=tuple(
            ModelFigures(
                name,
                version,
                entries[0].get("dataset", ""),
                tuple(sorted((_variant(change, labels) for labels in entries), key=lambda each: not each.baseline)),
            )
            for (name, version), entries in sorted(served.items())
        ),
        gateways=len(page.by_label("twinserve_gateway_cpu_seconds_total", "gateway")),
        gateway_pss=page.sum("twinserve_gateway_resident_bytes", kind="pss") or 0.0,
        gateway_cores=change.rate("twinserve_gateway_cpu_seconds_total"),
        restarts=page.sum("twinserve_process_restarts_total") or 0.0,
        transport=builds[0].get("transport", "") if builds else "",
    )


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which ``share`` of the observations lie, interpolated as by ``histogram_quantile``.

    Args:
        share: 0..1.
        buckets: cumulative counts by upper bound, with one at infinity.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank = share * buckets[bounds[-1]]
    lower = below = 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            # Nothing is known about the width of the last bucket: its lower bound stands for it.
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return lower


class _Change:
    """Counters between two readings."""

    def __init__(self, before: Reading, after: Reading) -> None:
        self.before, self.after = before.page, after.page
        self.seconds = max(after.at - before.at, 1e-9)

    def of(self, name: str, **labels: str) -> float:
        """How much a counter grew; all of it where the server is a new one."""
        now, then = self.after.sum(name, **labels) or 0.0, self.before.sum(name, **labels) or 0.0
        return now - then if now >= then else now

    def rate(self, name: str, **labels: str) -> float:
        """Growth a second."""
        return self.of(name, **labels) / self.seconds

    def latency(self, **labels: str) -> dict[float, float]:
        """The latency histogram of the requests in between: cumulative counts by upper bound."""
        total: dict[float, float] = {}
        for route in ROUTES:
            name, wanted = "twinserve_request_duration_seconds_bucket", {**labels, "route": route}
            then = self.before.by_label(name, "le", **wanted)
            for bound, count in self.after.by_label(name, "le", **wanted).items():
                grown = count - then.get(bound, 0.0)
                total[float(bound)] = total.get(float(bound), 0.0) + (grown if grown >= 0 else count)
        return total


def _variant(change: _Change, info: Mapping[str, str]) -> VariantFigures:
    name, page = info["variant"], change.after
    which = {"model": info["model"], "version": info["version"], "variant": name}
    good = sum(change.rate("twinserve_requests_total", code="OK", route=route, **which) for route in ROUTES)
    ended = sum(change.rate("twinserve_requests_total", route=route, **which) for route in ROUTES)
    latency = change.latency(**which)
    labels = page.sum("twinserve_feedback_images_total", **which) or 0.0
    compared = page.sum("twinserve_shadow_images_total", **which) or 0.0
    waiting = ("twinserve_queue_depth_images", "twinserve_in_flight_images")
    return VariantFigures(
        name=name,
        baseline=info.get("quantization", "none") == "none",
        ready=page.sum("twinserve_model_ready", **which) == 1.0,
        rate=good,
        failed=ended - good,
        p50=quantile(0.5, latency),
        p99=quantile(0.99, latency),
        batch=_share(
            change.of("twinserve_batch_size_images_sum", **which),
            change.of("twinserve_batch_size_images_count", **which),
        ),
        waiting=sum(page.sum(metric, **which) or 0.0 for metric in waiting),
        added=page.sum("twinserve_model_added_bytes", stage="warm_up", **which),
        pss=page.sum("twinserve_model_resident_bytes", kind="pss", **which),
        artefact=page.sum("twinserve_model_artefact_bytes", **which),
        cores=change.rate("twinserve_model_cpu_seconds_total", **which),
        accuracy=_share(page.sum("twinserve_feedback_correct_total", **which) or 0.0, labels),
        labels=labels,
        disagreement=_share(page.sum("twinserve_shadow_disagreements_total", **which) or 0.0, compared),
        weight=page.sum("twinserve_traffic_weight", **which) or 0.0,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
