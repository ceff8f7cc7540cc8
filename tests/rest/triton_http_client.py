"""Sends images through ``tritonclient.http``, each a request; prints the probabilities' bytes as JSON of hex.

usage: triton_http_client.py HOST:PORT MODEL, with the images (uint8) as JSON on standard input; or
triton_http_client.py HOST:PORT MODEL cycle, which unloads and loads the model. A script, since tritonclient's protobuf
symbols and ours cannot share a process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton


def cycle(client: Any, model: str) -> list[Any]:
    """The index without the model, what is ready then, and the index when it is back."""
    client.unload_model(model)
    unloaded = client.get_model_repository_index()
    ready = [one for one in unloaded if one["state"] == "READY"]
    client.load_model(model)
    return [unloaded, ready, client.get_model_repository_index()]


def main() -> None:
    """Classify what comes on standard input."""
    target, model, *cycled = sys.argv[1:]
    found: list[Any] = []
    with triton.InferenceServerClient(target, network_timeout=120) as client:
        if cycled:
            print(json.dumps(cycle(client, model)))
            return
        assert client.is_server_ready()
        assert client.is_model_ready(model)
        for pixels in json.load(sys.stdin):
            image = np.asarray([pixels], np.uint8)
            tensor = triton.InferInput("input", list(image.shape), "UINT8")
            tensor.set_data_from_numpy(image)
            wanted = [triton.InferRequestedOutput(name) for name in ("probabilities", "classes")]
            result = client.infer(model, [tensor], outputs=wanted)
            found.append(result.as_numpy("probabilities").tobytes().hex())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
