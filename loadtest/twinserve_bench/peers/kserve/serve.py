"""KServe SDK: one model, its forward passes in a pool of two threads."""

from __future__ import annotations

import argparse
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kserve
import numpy as np
import torch
import uvicorn
from grpc.aio import _server as grpc_server
from kserve import InferOutput, InferRequest, InferResponse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from artefact import load


class Mnist(kserve.Model):
    """The INT8 artefact."""

    def __init__(self) -> None:
        super().__init__("mnist_int8")
        self.module = load()
        self.pool = ThreadPoolExecutor(2)
        self.ready = True

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """One forward pass."""
        with torch.inference_mode():
            return self.module(torch.from_numpy(pixels)).numpy()

    async def predict(self, payload: InferRequest, headers: dict | None = None, **_: object) -> InferResponse:  # noqa: ARG002
        """Answer one request."""
        pixels = np.array(payload.inputs[0].as_numpy(), np.uint8)
        output = await asyncio.get_running_loop().run_in_executor(self.pool, self.run, pixels)
        answer = InferOutput("OUTPUT", list(output.shape), "FP32")
        answer.set_data_from_numpy(output, binary_data=True)
        return InferResponse(payload.id or "1", "mnist_int8", [answer])


def loopback_only() -> None:
    """KServe binds all interfaces and has no option for it: bind 127.0.0.1 instead."""
    bind, configure = grpc_server.Server.add_insecure_port, uvicorn.Config.__init__
    grpc_server.Server.add_insecure_port = lambda server, address: bind(server, address.replace("[::]", "127.0.0.1"))
    uvicorn.Config.__init__ = lambda config, app, **given: configure(config, app, **{**given, "host": "127.0.0.1"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    arguments, _ = parser.parse_known_args()
    loopback_only()
    kserve.ModelServer(
        http_port=arguments.http_port, grpc_port=arguments.grpc_port, enable_grpc=True, enable_latency_logging=False
    ).start([Mnist()])
