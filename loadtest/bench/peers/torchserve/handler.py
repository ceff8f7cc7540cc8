"""TorchServe handler: raw 784-byte bodies, or N x 784; a batch in one forward pass."""

import sys

import numpy as np
import torch

sys.path.insert(0, __import__("os").environ["PEER_COMMON"])
from artefact import load

MODULE = None


def handle(data: list | None, context: object) -> list | None:  # noqa: ARG001
    """Answer a batch of requests."""
    global MODULE  # noqa: PLW0603
    if MODULE is None:
        MODULE = load()
    if data is None:
        return None
    bodies = [bytes(row.get("body") or row.get("data")) for row in data]
    parts = [np.frombuffer(body, np.uint8).reshape(-1, 28, 28) for body in bodies]
    with torch.inference_mode():
        output = MODULE(torch.from_numpy(np.concatenate(parts))).numpy()
    answers, at = [], 0
    for part in parts:
        answers.append(output[at : at + len(part)].tobytes())
        at += len(part)
    return answers
