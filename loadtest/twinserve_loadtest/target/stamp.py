"""The stamp of the machine that serves: this machine, or what a distant server tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twinserve_loadtest.record.stamp import Stamp, read_stamp
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.record.measurement import Model

UNKNOWN_ISA = "unknown (a remote server does not report it)"


def serving_stamp(
    model: Model, metrics_urls: Sequence[str], *, same_machine: bool, steal: float | None = None, energy: str = ""
) -> Stamp:
    """The stamp of a measurement of ``model``.

    Args:
        model: what is served, with the manifest's entries.
        metrics_urls: one of each server; a distant one tells its instruction set there.
        same_machine: whether a server shares this machine.
        steal: share of CPU time that the hypervisor took while measuring.
        energy: where energy was read, or why it is unknown.
    """
    runtime = {key: str(value) for key, value in model.manifest.get("runtime", {}).items()}
    stamp = read_stamp(
        steal_share=steal,
        runtime=runtime,
        artefacts={name: variant.sha256 for name, variant in model.variants.items()},
        engines={name: str(variant.manifest.get("engine", "none")) for name, variant in model.variants.items()},
        server=_server(metrics_urls),
        energy=energy,
    )
    if same_machine:
        return stamp
    return replace(stamp, isa=stamp.server.get("isa", UNKNOWN_ISA))


def _server(metrics_urls: Sequence[str]) -> dict[str, str]:
    """What the servers say of themselves: version, transport, torch, instruction set; all answers where they differ."""
    told: dict[str, dict[str, None]] = {}
    for url in metrics_urls:
        try:
            samples = read_metrics(url).samples
        except MetricsError:
            return {}
        for sample in samples:
            names = _TOLD.get(sample.name, ())
            for name in names:
                if text := sample.labels.get(name):
                    told.setdefault(name, {})[text] = None
    return {name: ", ".join(texts) for name, texts in told.items()}


_TOLD = {
    "twinserve_build_info": ("version", "transport", "grpcio", "python"),
    "twinserve_model_info": ("isa", "torch"),
}
