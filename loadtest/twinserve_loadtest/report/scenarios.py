"""Scenarios and figures as a reader meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.terms import TITLES
from twinserve_loadtest.report.numbers import rate

if TYPE_CHECKING:
    from twinserve_loadtest.record.run import Run

_METRICS = {
    "throughput": "throughput",
    "cpu": "CPU time per 1,000 images",
    "artefact_bytes": "artefact size",
    "added_bytes": "memory added by the model",
    "parameter_bytes": "parameters in memory",
    "process_pss_bytes": "memory of the model process",
    "slo_rate": "highest rate within the objective",
}
STAGES = {
    "client": "client and wire",
    "gateway": "gateway",
    "queue": "queue",
    "transfer": "transfer",
    "preprocess": "pre-process",
    "inference": "inference",
    "postprocess": "post-process",
}
"""In the order in which a request meets them."""


def metric_title(name: str) -> str:
    """``artefact_bytes`` → ``artefact size``; ``p99`` stays."""
    return _METRICS.get(name, name.replace("_", " "))


def effect_title(scenario: str, metric: str) -> str:
    """``Open loop, p99``, ``Artefact size``."""
    title = metric_title(metric)
    return f"{TITLES[scenario]}, {title}" if scenario in TITLES else title[:1].upper() + title[1:]


def load_of(run: Run) -> str:
    """How a run was driven, in a few words."""
    if run.scenario == "single-stream":
        return "one request in flight"
    if run.scenario == "closed":
        return f"{run.users} requests in flight"
    if run.scenario in ("open", "mixed"):
        return f"{rate(run.offered_rate)} requests/s"
    return f"offline, {_images(run)}"


def conditions_of(run: Run) -> str:
    """How a run was driven."""
    if run.scenario == "offline":
        return f"as fast as possible, {_images(run)}"
    arrivals = ", Poisson arrivals" if run.scenario in ("open", "mixed") else ""
    return f"{load_of(run)}{arrivals}, {_images(run)}"


def _images(run: Run) -> str:
    count = run.images_per_request
    return "one image per request" if count == 1 else f"{count:,} images per request"
