"""LitServe: one worker, dynamic batches; it takes JSON only, so pixels and answers travel as base64."""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# This folder has the same name as the package.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import litserve  # noqa: E402
from artefact import load  # noqa: E402


class Mnist(litserve.LitAPI):
    """The INT8 artefact."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load it in this worker."""
        self.module = load()

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """The images of one request."""
        return np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(-1, 28, 28)

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Requests may hold several images each."""
        return inputs

    def predict(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """One forward pass."""
        with torch.inference_mode():
            output = self.module(torch.from_numpy(np.concatenate(inputs))).numpy()
        return np.split(output, np.cumsum([len(part) for part in inputs])[:-1])

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        """An answer a request."""
        return output

    def encode_response(self, output: np.ndarray) -> dict[str, str]:
        """The probabilities."""
        return {"probabilities": base64.b64encode(output.tobytes()).decode()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    server = litserve.LitServer(
        Mnist(max_batch_size=32, batch_timeout=0.001), accelerator="cpu", workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=arguments.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
