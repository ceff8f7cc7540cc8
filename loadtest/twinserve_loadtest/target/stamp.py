"""The stamp of the machine that serves, and its CPU clock: this machine, or what a distant server tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twinserve_client import CallError, Client
from twinserve_loadtest.record.stamp import Stamp, read_stamp
from twinserve_loadtest.target.cpu_clock import CpuClock
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from twinserve_client import TLS
    from twinserve_loadtest.record.measurement import Model

UNKNOWN_ISA = "unknown (a distant server that does not tell)"


def serving_stamp(model: Model, metrics_url: str | None, *, same_machine: bool, steal: float | None = None) -> Stamp:
    """The stamp of a measurement of ``model``.

    Args:
        model: what is served, with the manifest's entries.
        metrics_url: of the server; a distant one tells its instruction set there.
        same_machine: whether it serves from this machine.
        steal: share of CPU time that the hypervisor took while measuring.
    """
    runtime = {key: str(value) for key, value in model.manifest.get("runtime", {}).items()}
    stamp = read_stamp(
        steal_share=steal,
        runtime=runtime,
        artefacts={name: variant.sha256 for name, variant in model.variants.items()},
        engines={name: str(variant.manifest.get("engine", "none")) for name, variant in model.variants.items()},
        server=_server(metrics_url),
    )
    if same_machine:
        return stamp
    return replace(stamp, isa=stamp.server.get("isa", UNKNOWN_ISA))


def cpu_clock(
    target: str, model: str, metrics_url: str | None, *, same_machine: bool, tls: TLS | None = None
) -> CpuClock:
    """Where the CPU seconds of the variants are read."""
    processes: dict[str, list[int]] = {}
    if same_machine:
        try:
            with Client(target, model=model, tls=tls) as client:
                for process in client.get_status().processes:
                    if process.variant:
                        processes.setdefault(process.variant, []).append(process.pid)
        except CallError:
            processes.clear()
    return CpuClock(processes, metrics_url, model)


def _server(metrics_url: str | None) -> dict[str, str]:
    """What the server says of itself: version, transport, torch, instruction set."""
    if metrics_url is None:
        return {}
    try:
        samples = read_metrics(metrics_url).samples
    except MetricsError:
        return {}
    told: dict[str, str] = {}
    for sample in samples:
        if sample.name == "twinserve_build_info":
            told |= {key: sample.labels.get(key, "") for key in ("version", "transport", "grpcio", "python")}
        elif sample.name == "twinserve_model_info":
            told |= {key: sample.labels[key] for key in ("isa", "torch") if sample.labels.get(key)}
    return told
