"""Drives a server with KServe's client, in that client's own environment: ``kserve_client.py TARGET MODEL PIXELS``.

PIXELS is JSON, N x the item's shape. The answer is printed as JSON.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main() -> None:
    """Ask, infer and print."""
    target, model, pixels = sys.argv[1:]
    array = np.asarray(json.loads(pixels), np.uint8)
    tensor = InferInput("input", list(array.shape), "UINT8")
    tensor.set_data_from_numpy(array, binary_data=True)
    async with InferenceGRPCClient(target) as client:
        told = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(model),
        }
        answer = await client.infer(InferRequest(model, [tensor], request_id="of-kserve"))
    outputs = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    print(json.dumps({**told, "id": answer.id, **outputs}))


asyncio.run(main())
