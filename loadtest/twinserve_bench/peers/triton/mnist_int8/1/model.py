"""Triton's python backend: the requests of a batch joined in one forward pass."""

import os
import sys

sys.path[:0] = os.environ["PEER_PATH"].split(":")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402
from artefact import load  # noqa: E402


class TritonPythonModel:
    """One instance."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002
        """Load the artefact."""
        self.module = load()

    def execute(self, requests: list) -> list:
        """Answer a dynamic batch."""
        parts = [pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy() for request in requests]
        with torch.inference_mode():
            output = self.module(torch.from_numpy(np.concatenate(parts))).numpy()
        answers, at = [], 0
        for part in parts:
            rows = output[at : at + len(part)]
            at += len(part)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", rows)]))
        return answers
