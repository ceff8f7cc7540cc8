"""The artefact that every peer serves: loaded as twinserve loads it. Needs torch and nothing of twinserve."""

from __future__ import annotations

import os

import torch


def load() -> torch.jit.ScriptModule:
    """The TorchScript file in ``PEER_ARTEFACT``, with its engine, one thread, and no profiling executor."""
    torch.set_num_threads(1)
    torch.backends.quantized.engine = os.environ.get("PEER_ENGINE", "onednn")
    torch._C._jit_set_profiling_executor(False)  # noqa: SLF001
    module = torch.jit.load(os.environ["PEER_ARTEFACT"]).eval()
    with torch.inference_mode():
        for size in (1, 2, 4, 8, 16, 32, 64) * 5:
            module(torch.zeros((size, 28, 28), dtype=torch.uint8))
    return module
