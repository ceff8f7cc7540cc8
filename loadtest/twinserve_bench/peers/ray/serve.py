"""Ray Serve: one replica, dynamic batches with @serve.batch; raw bodies over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import numpy as np
import ray
import torch
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=256,
    ray_actor_options={"num_cpus": 1},
    logging_config={"log_level": "WARNING", "enable_access_log": False},
)
class Mnist:
    """The INT8 artefact."""

    def __init__(self, common: str) -> None:
        sys.path.insert(0, common)
        from artefact import load  # noqa: PLC0415

        self.module = load()

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.001)
    async def forward(self, bodies: list[bytes]) -> list[bytes]:
        """One forward pass."""
        parts = [np.frombuffer(body, np.uint8).reshape(-1, 28, 28) for body in bodies]
        with torch.inference_mode():
            output = self.module(torch.from_numpy(np.concatenate(parts))).numpy()
        answers, at = [], 0
        for part in parts:
            answers.append(output[at : at + len(part)].tobytes())
            at += len(part)
        return answers

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        return Response(await self.forward(await request.body()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=os.environ["PEER_FOLDER"])
    serve.start(
        http_options={"host": "127.0.0.1", "port": arguments.port},
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    serve.run(Mnist.bind(str(Path(__file__).resolve().parents[1])), route_prefix="/")
    print("ready", flush=True)
    signal.pause()
