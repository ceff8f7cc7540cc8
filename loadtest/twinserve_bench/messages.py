"""Requests and answers for benchmarks: real test images, and a check that answers are right."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt

from twinserve.v1 import predict_pb2, predict_pb2_grpc


class TestSet:
    """The test images that lie beside the models."""

    def __init__(self, models: Path, model: str = "mnist") -> None:
        with np.load(models / model / "testset.npz") as held:
            self.images: npt.NDArray[np.uint8] = held["images"]
            self.labels: npt.NDArray[np.int64] = held["labels"]

    def request(self, variant: str, count: int = 1, start: int = 0) -> predict_pb2.PredictRequest:
        """A request for ``count`` images."""
        part = self.images[start : start + count]
        tensor = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=part.shape, data=part.tobytes())
        return predict_pb2.PredictRequest(input=tensor, variant=variant)

    def check(self, port: int, variant: str, count: int = 256) -> float:
        """The share of right answers that a server on ``port`` gives.

        Raises:
            RuntimeError: it is so low that the server does other work than it should.
        """
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = predict_pb2_grpc.PredictServiceStub(channel).Predict(
                self.request(variant, count), timeout=30, wait_for_ready=True
            )
        right = float(np.mean(np.array(answer.classes) == self.labels[:count]))
        if right < 0.9:
            raise RuntimeError(f"{variant}: only {right:.1%} of the answers are right")
        return right
