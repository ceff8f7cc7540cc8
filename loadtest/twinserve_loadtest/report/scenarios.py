"""The names of scenarios and figures, as a reader meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.numbers import rate, significant

if TYPE_CHECKING:
    from twinserve_loadtest.record.findings import ScenarioResult
    from twinserve_loadtest.record.load_results import Scenario

_SCENARIOS = {
    "single_stream": "Single stream",
    "single-stream": "Single stream",
    "server": "Open loop",
    "open": "Open loop",
    "offline": "Offline",
    "closed": "Closed loop",
    "mixed": "Mixed traffic",
    "accuracy": "Test set",
    "step": "Step test",
    "slo": "Within the objective",
}
_METRICS = {
    "throughput": "throughput",
    "cpu": "CPU time, 1,000 images",
    "artefact_bytes": "artefact size",
    "added_bytes": "memory the model adds",
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


def scenario_title(name: str) -> str:
    """``single_stream`` → ``Single stream``."""
    return _SCENARIOS.get(name, name.replace("_", " ").replace("-", " ").capitalize())


def metric_title(name: str) -> str:
    """``artefact_bytes`` → ``artefact size``; ``p99`` stays."""
    return _METRICS.get(name, name.replace("_", " "))


def conditions_compared(run: ScenarioResult) -> str:
    """How a comparison's scenario was driven."""
    if run.name == "single_stream":
        return f"one request in flight, {_images(run.images_per_request)}"
    if run.name == "offline":
        return f"as fast as it goes, {_images(run.images_per_request)}"
    offered = f"{rate(run.offered_rate)} requests/s offered to each, " if run.offered_rate else ""
    return f"{offered}Poisson arrivals, {_images(run.images_per_request)}"


def conditions_tested(scenario: Scenario) -> str:
    """How a load test's scenario was driven."""
    given = scenario.parameters
    batch = given.get("batch", 1)
    images = _images(int(batch)) if isinstance(batch, int | float) else f"{batch} images a request"
    if scenario.name == "single-stream":
        return f"one request in flight, {images}"
    if scenario.name in ("open", "mixed"):
        offered = given.get("rate")
        rates = f"{significant(float(offered))} requests/s offered, " if isinstance(offered, int | float) else ""
        return f"{rates}Poisson arrivals, {images}"
    if scenario.name == "closed":
        return f"{given.get('users', '?')} requests in flight, {images}"
    if scenario.name == "offline":
        return f"as fast as it goes, {images}"
    return images


def _images(count: int) -> str:
    return "one image a request" if count == 1 else f"{count:,} images a request"
