"""The artefact that every peer serves: loaded and warmed as twinserve does it. Needs torch and nothing of twinserve."""

from __future__ import annotations

import os

import torch

LARGEST = 64


def load() -> torch.jit.ScriptModule:
    """The TorchScript file in ``PEER_ARTEFACT`` with one thread and its engine, warm for all batches up to 64."""
    torch.set_num_threads(1)
    torch.backends.quantized.engine = os.environ["PEER_ENGINE"]
    module: torch.jit.ScriptModule = torch.jit.load(os.environ["PEER_ARTEFACT"]).eval()
    with torch.inference_mode():
        # The largest first: packed weights keep the kernel of the first size they meet.
        for size in (1, LARGEST, *(2 * tuple(range(1, LARGEST + 1)))):
            module(torch.zeros((size, 28, 28), dtype=torch.uint8))
    return module
