"""The metric families that only the supervisor can know: memory, CPU, readiness, restarts, what is served."""

from __future__ import annotations

import platform
from importlib.metadata import version as package_version
from typing import Any

from twinserve_server.host.memory import resident_bytes
from twinserve_server.metrics import families
from twinserve_server.metrics.sums import Values
from twinserve_server.supervisor.pulse import ENDED, HUNG, REASONS
from twinserve_server.supervisor.supervisor import Supervisor

ADDED_STAGES = {
    "load": "added_load_bytes",
    "first_inference": "added_first_inference_bytes",
    "batch_limit": "added_batch_limit_bytes",
    "warm_up": "added_warm_up_bytes",
}


def supervisor_values(supervisor: Supervisor) -> dict[str, Values]:
    """Every family with ``source="supervisor"``, by name."""
    values: dict[str, Values] = {}

    def put(family: families.Family, labels: tuple[str, ...], value: float) -> None:
        values.setdefault(family.name, {})[labels] = [value]

    _put_build(put, supervisor.transport)
    for child, state in list(supervisor.models.values()):
        replica = state.replica
        version = supervisor.plan.versions[replica.model]
        variant = version.variants[replica.variant]
        labels = (replica.model, version.version, replica.variant)
        facts: dict[str, Any] = state.facts
        ready = values.get(families.READY.name, {}).get(labels, [1.0])[0]
        put(families.READY, labels, min(ready, float(child.ready)))
        put(families.ARTEFACT_BYTES, labels, variant.bytes)
        put(families.PARAMETER_BYTES, labels, variant.parameter_bytes)
        put(
            families.TRAFFIC_WEIGHT,
            labels,
            supervisor.traffic.policies[replica.model].shares.get(replica.variant, 0.0),
        )
        for reason in REASONS:
            put(families.RESTARTS, (child.name, reason), child.restarts[reason])
        spent = values.get(families.MODEL_CPU.name, {}).get(labels, [0.0])[0]
        put(families.MODEL_CPU, labels, spent + child.cpu_seconds())
        if facts:
            put(families.LOAD_SECONDS, labels, facts["load_seconds"])
            put(families.WARM_UP_SECONDS, labels, facts["warm_up_seconds"])
            put(families.LAST_LOAD, labels, state.ready_at)
            for stage, key in ADDED_STAGES.items():
                put(families.ADDED_BYTES, (*labels, stage), facts[key])
            info = (
                variant.sha256,
                variant.quantization,
                variant.quantized_engine,
                str(version.runtime.get("isa", "unknown")),
                facts["runtime"]["version"] if facts["runtime"]["library"] == "torch" else "",
                dataset_label(version.dataset),
                facts["runtime"]["format"],
                f"{facts['runtime']['library']} {facts['runtime']['version']}",
            )
            put(families.MODEL_INFO, (*labels, *info), 1.0)
        if child.ready and (resident := supervisor.census.resident.get(child.name)) is not None:
            put(families.MODEL_RESIDENT, (*labels, str(replica.index), "pss"), resident.pss)
            put(families.MODEL_RESIDENT, (*labels, str(replica.index), "rss"), resident.rss)
    if supervisor.traffic.file is not None:
        put(families.TRAFFIC_FILE_GENERATION, (), supervisor.traffic.file.generation)
        put(families.TRAFFIC_FILE_GOOD, (), float(supervisor.traffic.file.good))
    for child in supervisor.gateways:
        for reason in (ENDED, HUNG):
            put(families.RESTARTS, (child.name, reason), child.restarts[reason])
        put(families.GATEWAY_CPU, (child.name,), child.cpu_seconds())
        if (resident := supervisor.census.resident.get(child.name)) is not None:
            put(families.GATEWAY_RESIDENT, (child.name, "pss"), resident.pss)
            put(families.GATEWAY_RESIDENT, (child.name, "rss"), resident.rss)
    put(families.LOG_LINES_LOST, ("supervisor",), supervisor.log_to.lost)
    own = resident_bytes()
    put(families.SUPERVISOR_RESIDENT, ("pss",), own.pss)
    put(families.SUPERVISOR_RESIDENT, ("rss",), own.rss)
    return values


def dataset_label(dataset: dict[str, Any]) -> str:
    """``MNIST 60000/10000``; a subset says so."""
    if not dataset:
        return "unknown"
    counts = f"{dataset['train_images']}/{dataset['test_images']}"
    return f"{dataset['name']} {counts}" + ("" if dataset["full"] else " (subset)")


def _put_build(put: Any, transport: str) -> None:
    labels = (package_version("twinserve"), package_version("grpcio"), platform.python_version(), transport)
    put(families.BUILD_INFO, labels, 1.0)
