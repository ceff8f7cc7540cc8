"""The metric families that only the supervisor can fill: memory, CPU, readiness, restarts, what is served."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any

from twinserve_host.gpu import Gpu, gpus
from twinserve_server.host.memory import resident_bytes
from twinserve_server.metrics import families
from twinserve_server.metrics.family import Family
from twinserve_server.metrics.sums import Values
from twinserve_server.supervisor.census import FORK_SERVER
from twinserve_server.supervisor.model_reports import ModelState
from twinserve_server.supervisor.pulse import ENDED, HUNG, REASONS
from twinserve_server.supervisor.traffic import Traffic

if TYPE_CHECKING:
    from twinserve_server.supervisor.supervisor import Supervisor


class Sheet:
    """Values of families, filled in one by one."""

    def __init__(self, transport: str) -> None:
        self.values: dict[str, Values] = {}
        build = (package_version("twinserve"), package_version("grpcio"), platform.python_version(), transport)
        self.put(families.BUILD_INFO, build, 1.0)

    def put(self, family: Family, labels: tuple[str, ...], value: float) -> None:
        """Set one value."""
        self.values.setdefault(family.name, {})[labels] = [value]

    def add(self, family: Family, labels: tuple[str, ...], value: float) -> None:
        """Add to one value."""
        self.put(family, labels, self.values.get(family.name, {}).get(labels, [0.0])[0] + value)

    def put_model(self, traffic: Traffic, state: ModelState, *, ready: bool) -> tuple[str, str, str]:
        """What is known of one replica of a variant, however it runs; its labels."""
        replica, facts = state.replica, state.facts
        version = replica.version
        variant = version.variants[replica.variant]
        labels = (version.model, version.version, replica.variant)
        others = self.values.get(families.READY.name, {}).get(labels, [1.0])[0]
        self.put(families.READY, labels, min(others, float(ready)))
        self.put(families.ARTEFACT_BYTES, labels, variant.bytes)
        self.put(families.PARAMETER_BYTES, labels, variant.parameter_bytes)
        self.put(families.TRAFFIC_WEIGHT, labels, traffic.share(version, replica.variant))
        if facts:
            self.put(families.LOAD_SECONDS, labels, facts.load_seconds)
            self.put(families.WARM_UP_SECONDS, labels, facts.warm_up_seconds)
            self.put(families.LAST_LOAD, labels, state.ready_at)
            for stage, added in facts.added_bytes.items():
                self.put(families.ADDED_BYTES, (*labels, stage), added)
            runtime = facts.runtime
            info = (
                variant.sha256,
                variant.quantization,
                variant.quantized_engine,
                str(version.runtime.get("isa", "unknown")),
                runtime.version if runtime.library == "torch" else "",
                dataset_label(version.dataset),
                runtime.format,
                f"{runtime.library} {runtime.version}",
            )
            self.put(families.MODEL_INFO, (*labels, *info), 1.0)
        return labels

    def put_device_bytes(
        self, labels: tuple[str, str, str], state: ModelState, pid: int = 0, cards: Sequence[Gpu] = ()
    ) -> None:
        """GPU memory of one replica: what it told when it was warm, and the driver's count for ``pid`` now."""
        found = dict(state.facts.runtime.device_bytes) if state.facts else {}
        found.pop("process", None)
        if now := sum(card.process_bytes.get(pid, 0) for card in cards):
            found["process"] = now
        for kind, size in found.items():
            self.put(families.MODEL_DEVICE_BYTES, (*labels, str(state.replica.index), kind), size)

    def put_gpus(self, states: Iterable[ModelState]) -> list[Gpu]:
        """What the GPUs do, which are returned; none unless a variant runs on one."""
        devices = (state.replica.version.variants[state.replica.variant].device for state in states)
        cards = gpus() if any(device != "cpu" for device in devices) else []
        for card in cards:
            for family, value in ((families.GPU_UTILIZATION, card.utilisation), (families.GPU_POWER, card.watts)):
                if value is not None:
                    self.put(family, (str(card.index), card.name), value)
        return cards

    def put_traffic_file(self, traffic: Traffic) -> None:
        """What is known of the file that the policies follow, if they follow one."""
        if traffic.file is not None:
            self.put(families.TRAFFIC_FILE_GENERATION, (), traffic.file.generation)
            self.put(families.TRAFFIC_FILE_GOOD, (), float(traffic.file.good))


def supervisor_values(supervisor: Supervisor) -> dict[str, Values]:
    """Every family that the supervisor fills in, by name."""
    sheet = Sheet(supervisor.transport)
    put = sheet.put
    models = list(supervisor.fleet.models.values())
    cards = sheet.put_gpus(state for _, state in models)
    for child, state in models:
        if not supervisor.plan.holds(state.replica.version):
            # It is being loaded or is ending, and serves nobody.
            continue
        labels = sheet.put_model(supervisor.traffic, state, ready=child.ready)
        sheet.put_device_bytes(labels, state, child.pid, cards)
        for reason in REASONS:
            put(families.RESTARTS, (child.name, reason), child.restarts[reason])
        sheet.add(families.MODEL_CPU, labels, child.cpu_seconds())
        if child.ready and (resident := supervisor.census.resident.get(child.name)) is not None:
            put(families.MODEL_RESIDENT, (*labels, str(state.replica.index), "pss"), resident.pss)
            put(families.MODEL_RESIDENT, (*labels, str(state.replica.index), "rss"), resident.rss)
    sheet.put_traffic_file(supervisor.traffic)
    for child in supervisor.fleet.gateways:
        for reason in (ENDED, HUNG):
            put(families.RESTARTS, (child.name, reason), child.restarts[reason])
        put(families.GATEWAY_CPU, (child.name,), child.cpu_seconds())
        if (resident := supervisor.census.resident.get(child.name)) is not None:
            put(families.GATEWAY_RESIDENT, (child.name, "pss"), resident.pss)
            put(families.GATEWAY_RESIDENT, (child.name, "rss"), resident.rss)
    put(families.LOG_LINES_LOST, ("supervisor",), supervisor.fleet.log_to.lost)
    for resident in (resident_bytes(), supervisor.census.resident.get(FORK_SERVER)):
        if resident is not None:
            sheet.add(families.SUPERVISOR_RESIDENT, ("pss",), resident.pss)
            sheet.add(families.SUPERVISOR_RESIDENT, ("rss",), resident.rss)
    return sheet.values


def dataset_label(dataset: dict[str, Any]) -> str:
    """``MNIST 60000/10000``; a subset says so."""
    if not dataset:
        return "unknown"
    counts = f"{dataset['train_images']}/{dataset['test_images']}"
    return f"{dataset['name']} {counts}" + ("" if dataset["full"] else " (subset)")
