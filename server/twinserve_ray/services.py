"""What is served through Serve's gRPC proxies: known to the proxies, and to the deployment that answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2

from twinserve.inference import open_inference_pb2
from twinserve.v1 import admin_pb2, predict_pb2

#: The name of the Serve application, to which requests without one go.
APPLICATION: Final = "twinserve"
#: Serve does not pass on the deadline; this key does, as the seconds that remain.
TIMEOUT_KEY: Final = "twinserve-timeout"

SERVICES: Final[tuple[ServiceDescriptor, ...]] = (
    predict_pb2.DESCRIPTOR.services_by_name["PredictService"],
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
)


def methods() -> Iterator[MethodDescriptor]:
    """Every method; Serve tells them apart by their names alone."""
    for service in SERVICES:
        yield from service.methods
