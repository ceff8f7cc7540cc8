"""How an artefact is run: the process-wide settings of torch."""

from __future__ import annotations

import torch

from twinserve_server.model.heap import keep_freed_memory


def configure_torch(engine: str, threads: int) -> None:
    """Set what an artefact needs before it is loaded."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    if engine != "none":
        torch.backends.quantized.engine = engine
