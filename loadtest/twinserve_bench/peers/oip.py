"""An Open Inference Protocol client, run in a peer's own environment (its protobuf symbols are not ours).

``python oip.py body N FILE TESTSET``: the ModelInferRequest for N images, as bytes, into FILE.
``python oip.py check PORT TESTSET``: waits for the model, prints how many answers to 500 images are right.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

MODEL = "mnist_int8"


def request(images: np.ndarray) -> service_pb2.ModelInferRequest:
    """A request for ``images``, raw."""
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="INPUT", datatype="UINT8", shape=images.shape)
    return service_pb2.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[images.tobytes()])


def answer(response: service_pb2.ModelInferResponse) -> np.ndarray:
    """The probabilities."""
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[0], np.float32).reshape(-1, 10)
    contents = response.outputs[0].contents
    return np.array(contents.fp32_contents or contents.fp64_contents, np.float32).reshape(-1, 10)


def check(port: str, images: np.ndarray, labels: np.ndarray) -> int:
    """How many answers are right, once the model is ready."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        deadline = time.monotonic() + 90
        while True:
            try:
                stub.ModelInfer(request(images[:1]), timeout=5)
                break
            except grpc.RpcError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
        right = 0
        for start in range(0, 500, 20):
            rows = answer(stub.ModelInfer(request(images[start : start + 20]), timeout=20))
            right += int((rows.argmax(1) == labels[start : start + 20]).sum())
    return right


def main() -> None:
    """Run one command."""
    command, *arguments = sys.argv[1:]
    with np.load(arguments[-1]) as held:
        images, labels = held["images"], held["labels"]
    if command == "body":
        Path(arguments[1]).write_bytes(request(images[: int(arguments[0])]).SerializeToString())
    else:
        print(check(arguments[0], images, labels))


if __name__ == "__main__":
    main()
