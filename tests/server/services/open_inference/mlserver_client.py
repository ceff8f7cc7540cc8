"""Drives a server with MLServer's types, codecs and stubs, in an environment of its own:
``mlserver_client.py TARGET MODEL PIXELS``.

PIXELS is JSON, N x the item's shape. The answer is printed as JSON.
"""

import json
import sys

import grpc
import numpy as np
from mlserver.codecs import NumpyCodec
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest


def main() -> None:
    """Ask, infer and print."""
    target, model, pixels = sys.argv[1:]
    array = np.asarray(json.loads(pixels), np.uint8)
    request = InferenceRequest(id="of-mlserver", inputs=[NumpyCodec.encode_input("input", array)])
    with grpc.insecure_channel(target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        told = {
            "live": stub.ServerLive(pb.ServerLiveRequest()).live,
            "ready": stub.ServerReady(pb.ServerReadyRequest()).ready,
            "model_ready": stub.ModelReady(pb.ModelReadyRequest(name=model)).ready,
        }
        message = ModelInferRequestConverter.from_types(request, model_name=model, model_version=None)
        answer = ModelInferResponseConverter.to_types(stub.ModelInfer(message))
    outputs = {output.name: NumpyCodec.decode_output(output).tolist() for output in answer.outputs}
    print(json.dumps({**told, "id": answer.id, **outputs}))


main()
