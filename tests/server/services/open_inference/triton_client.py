"""Drives a server with ``tritonclient``: run as a script, since its protobuf symbols and ours cannot share a process.

usage: triton_client.py TARGET QUESTION [JSON arguments]; the answer is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException


def _input(pixels: Any, datatype: str = "UINT8") -> Any:
    array = np.asarray(pixels, np.uint8 if datatype == "UINT8" else np.float32)
    tensor = triton.InferInput("input", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def _values(result: Any) -> dict[str, Any]:
    response = result.get_response()
    return {
        "id": response.id,
        "model": response.model_name,
        "version": response.model_version,
        "classes": result.as_numpy("classes").tolist(),
        "probabilities": result.as_numpy("probabilities").astype(float).tolist(),
        "parameters": {
            key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in response.parameters.items()
        },
    }


def describe(client: Any, model: str) -> Any:
    """Everything that clients ask before they infer."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(model, as_json=True),
        "config": client.get_model_config(model, as_json=True),
        "index": client.get_model_repository_index(as_json=True),
    }


def statistics(client: Any, model: str = "") -> Any:
    """What the server has counted."""
    return client.get_inference_statistics(model, as_json=True)["model_stats"]


def infer(client: Any, model: str, pixels: Any, **options: Any) -> Any:
    """One request."""
    return _values(client.infer(model, [_input(pixels)], **options))


def infer_floats(client: Any, model: str, version: str, inputs: dict[str, Any], output: str) -> Any:
    """One request of named tensors in floats, which asks for one output by its name."""
    tensors = []
    for name, values in inputs.items():
        array = np.asarray(values, np.float32)
        tensors.append(triton.InferInput(name, list(array.shape), "FP32"))
        tensors[-1].set_data_from_numpy(array)
    answer = client.infer(model, tensors, version, outputs=[triton.InferRequestedOutput(output)])
    return answer.as_numpy(output).tolist()


def count_right(client: Any, model: str, testset: str, batch: int = 50) -> int:
    """How many images of a test set file get their label as the most probable class."""
    with np.load(testset) as held:
        images, labels = held["images"], held["labels"]
    right = 0
    for start in range(0, len(images), batch):
        answer = client.infer(model, [_input(images[start : start + batch])]).as_numpy("classes")
        right += int((answer[:, 0] == labels[start : start + batch]).sum())
    return right


def classify(client: Any, model: str, pixels: Any, top: int) -> Any:
    """One request for classes in words."""
    wanted = [triton.InferRequestedOutput("probabilities", class_count=top)]
    found = client.infer(model, [_input(pixels)], outputs=wanted).as_numpy("probabilities")
    return [[element.decode() for element in row] for row in found]


def stream(client: Any, model: str, batches: Any) -> Any:
    """Many requests on one stream; an error stands where its answer would."""
    results: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: results.put(str(error) if error else _values(result)))
    for number, pixels in enumerate(batches):
        client.async_stream_infer(model, [_input(pixels)], request_id=f"r{number}")
    found = [results.get(timeout=60) for _ in batches]
    client.stop_stream()
    return found


def gather(target: str, model: str, batches: Any) -> Any:
    """Requests side by side on the asyncio client."""

    async def run() -> Any:
        async with triton_aio.InferenceServerClient(target) as client:
            return await asyncio.gather(*(client.infer(model, [_input(pixels)]) for pixels in batches))

    return [_values(result) for result in asyncio.run(run())]


def load(client: Any, model: str, **options: Any) -> Any:
    """Load a model, then all that tells of it; or status and message."""
    try:
        client.load_model(model, **options)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return describe(client, model) if client.is_server_live() else None


def unload(client: Any, model: str) -> Any:
    """Unload a model, then the index; or status and message."""
    try:
        client.unload_model(model)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return client.get_model_repository_index(as_json=True)["models"]


def refused(
    client: Any, model: str, pixels: Any, name: str = "input", datatype: str = "UINT8", version: str = ""
) -> Any:
    """Status and message of a request that must fail."""
    tensor = triton.InferInput(name, list(np.shape(pixels)), datatype)
    tensor.set_data_from_numpy(np.asarray(pixels, {"UINT8": np.uint8, "FP32": np.float32, "INT64": np.int64}[datatype]))
    try:
        client.infer(model, [tensor], model_version=version)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def main() -> None:
    """Answer one question."""
    target, question, *rest = sys.argv[1:]
    arguments = json.loads(rest[0]) if rest else {}
    if question == "gather":
        answer = gather(target, **arguments)
    else:
        with triton.InferenceServerClient(target) as client:
            answer = globals()[question](client, **arguments)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
