"""What `twinserve top` shows: the variants of each model side by side, from two readings of each server."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twinserve_loadtest.target.metrics import read_metrics
from twinserve_loadtest.top.change import Change, Reading

#: The routes whose callers wait; a shadow's run has none.
ROUTES: Final = ("named", "split")
BUILD: Final = "twinserve_build_info"


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
class ServerShare:
    """One of several servers.

    Attributes:
        answering: its metrics could be read; if not, nothing else is known and no other figure counts it.
        rates: answered requests a second by variant.
        cores: CPU seconds a second of all its processes.
    """

    url: str
    answering: bool
    rates: Mapping[str, float]
    failed: float = 0.0
    p99: float | None = None
    cores: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One server, or several as one.

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
    servers: tuple[ServerShare, ...] = ()


def shares(urls: Sequence[str], readings: Mapping[str, tuple[Reading, Reading]]) -> tuple[ServerShare, ...]:
    """Each server by itself; ``readings`` of those that answer."""
    return tuple(
        _share_of(url, Change([readings[url]])) if url in readings else ServerShare(url, False, {}) for url in urls
    )


def _share_of(url: str, change: Change) -> ServerShare:
    rates: dict[str, float] = {}
    ended = 0.0
    for route in ROUTES:
        ended += change.rate("twinserve_requests_total", route=route)
        for variant in change.now.by_label("twinserve_requests_total", "variant", code="OK", route=route):
            rate = change.rate("twinserve_requests_total", code="OK", route=route, variant=variant)
            rates[variant] = rates.get(variant, 0.0) + rate
    cores = change.rate("twinserve_model_cpu_seconds_total") + change.rate("twinserve_gateway_cpu_seconds_total")
    return ServerShare(url, True, rates, ended - sum(rates.values()), quantile(0.99, change.latency(ROUTES)), cores)


def take(url: str) -> Reading:
    """Read the metrics once.

    Raises:
        MetricsError: they cannot be read.
    """
    return Reading(read_metrics(url), time.monotonic())


def figures(*servers: tuple[Reading, Reading]) -> ServerFigures:
    """What went on between the two readings of each server, and how things are at the second: of all together."""
    change = Change(servers)
    served: dict[tuple[str, str], dict[str, Mapping[str, str]]] = {}
    for sample in change.now.samples:
        if sample.name == "twinserve_model_info":
            variants = served.setdefault((sample.labels["model"], sample.labels["version"]), {})
            variants.setdefault(sample.labels["variant"], sample.labels)
    transports = [sample.labels.get("transport", "") for sample in change.now.samples if sample.name == BUILD]
    return ServerFigures(
        seconds=change.seconds,
        models=tuple(
            ModelFigures(
                name,
                version,
                next(iter(entries.values())).get("dataset", ""),
                tuple(
                    sorted(
                        (_variant(change, labels) for labels in entries.values()), key=lambda each: not each.baseline
                    )
                ),
            )
            for (name, version), entries in sorted(served.items())
        ),
        gateways=change.count("twinserve_gateway_cpu_seconds_total"),
        gateway_pss=change.now.sum("twinserve_gateway_resident_bytes", kind="pss") or 0.0,
        gateway_cores=change.rate("twinserve_gateway_cpu_seconds_total"),
        restarts=change.now.sum("twinserve_process_restarts_total") or 0.0,
        transport=", ".join(dict.fromkeys(transports)),
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


def _variant(change: Change, info: Mapping[str, str]) -> VariantFigures:
    name, page = info["variant"], change.now
    which = {"model": info["model"], "version": info["version"], "variant": name}
    good = sum(change.rate("twinserve_requests_total", code="OK", route=route, **which) for route in ROUTES)
    ended = sum(change.rate("twinserve_requests_total", route=route, **which) for route in ROUTES)
    latency = change.latency(ROUTES, **which)
    labels = page.sum("twinserve_feedback_images_total", **which) or 0.0
    compared = page.sum("twinserve_shadow_images_total", **which) or 0.0
    ready = change.each("twinserve_model_ready", **which)
    weights = change.each("twinserve_traffic_weight", **which)
    waiting = ("twinserve_queue_depth_images", "twinserve_in_flight_images")
    return VariantFigures(
        name=name,
        baseline=info.get("quantization", "none") == "none",
        ready=bool(ready) and all(ready),
        rate=good,
        failed=ended - good,
        p50=quantile(0.5, latency),
        p99=quantile(0.99, latency),
        batch=_share(
            change.of("twinserve_batch_size_images_sum", **which),
            change.of("twinserve_batch_size_images_count", **which),
        ),
        waiting=sum(page.sum(metric, **which) or 0.0 for metric in waiting),
        added=max(change.each("twinserve_model_added_bytes", stage="warm_up", **which), default=None),
        pss=page.sum("twinserve_model_resident_bytes", kind="pss", **which),
        artefact=max(change.each("twinserve_model_artefact_bytes", **which), default=None),
        cores=change.rate("twinserve_model_cpu_seconds_total", **which),
        accuracy=_share(page.sum("twinserve_feedback_correct_total", **which) or 0.0, labels),
        labels=labels,
        disagreement=_share(page.sum("twinserve_shadow_disagreements_total", **which) or 0.0, compared),
        weight=sum(weights) / len(weights) if weights else 0.0,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
