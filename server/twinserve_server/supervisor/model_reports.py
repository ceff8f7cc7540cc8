"""Reports of model processes: kept, and written to the log."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_server.ipc.load_facts import Cost, LoadFacts
from twinserve_server.ipc.messages import Ready, WarmingUp
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.plan import Replica

log = structlog.get_logger()


@dataclass(slots=True)
class ModelState:
    """What a model process reported when it became ready."""

    replica: Replica
    facts: LoadFacts | None = None
    ready_at: float = 0.0
    cost: Cost | None = None


def log_report(process: str, message: Ready | WarmingUp) -> None:
    """Log the progress of a warm-up and, once a model is ready, its runtime and the sizes that are still cold."""
    if isinstance(message, WarmingUp):
        log.info("warming_up", process=process, batch_sizes=f"{message.done} of {message.sizes}")
    else:
        facts, runtime = message.facts, message.facts.runtime
        log.info(
            "model_ready",
            process=process,
            runtime=f"{runtime.format} ({runtime.library} {runtime.version})",
            backend=runtime.backend,
            kernels=runtime.kernels,
            load_seconds=round(facts.load_seconds, 2),
            warm_up_seconds=round(facts.warm_up_seconds, 2),
        )
        if facts.left_cold:
            log.warning(
                "batch_sizes_left_cold", process=process, sizes=facts.left_cold, why="the warm-up's time was up"
            )
        if facts.floats_only:
            log.warning("quantised_model_computes_in_floats", process=process, kernels=runtime.kernels)
