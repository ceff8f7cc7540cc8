"""BentoML: one worker, adaptive batches; its batches are lists in JSON, so pixels and answers travel as base64."""

from __future__ import annotations

import base64
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.environ["PEER_COMMON"])

import bentoml
from artefact import load


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 1024}, metrics={"enabled": False})
class Mnist:
    """The INT8 artefact."""

    def __init__(self) -> None:
        """Load it in this worker."""
        self.module = load()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)
    def predict(self, pixels: list[str]) -> list[str]:
        """One forward pass for the requests that met; each may hold several images."""
        inputs = [np.frombuffer(base64.b64decode(one), np.uint8).reshape(-1, 28, 28) for one in pixels]
        with torch.inference_mode():
            output = self.module(torch.from_numpy(np.concatenate(inputs))).numpy()
        parts = np.split(output, np.cumsum([len(part) for part in inputs])[:-1])
        return [base64.b64encode(part.tobytes()).decode() for part in parts]
